package disktest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Damage is something wrong with an image that [Repair] has put right.
type Damage struct {
	Name string
	// Do spoils the image at path, which has content and was closed.
	Do func(t testing.TB, path string, files disk.Files)
	// Worst is the highest severity that Check then reports.
	Worst disk.Severity
	// Beyond says that some of it is beyond repair: Check may still report damage afterwards, but nothing else, and the image need not read as before.
	Beyond bool
}

// Repair checks that s.Repair puts right what each of the damages does and s.Check finds, that the content survives, and that a repair
// which is interrupted at any moment leaves nothing worse and can be made again.
func Repair(t *testing.T, s Subject, damages ...Damage) {
	if s.Repair == nil || s.Check == nil {
		t.Fatal("the Subject lacks Repair or Check")
	}
	t.Run("Sound", func(t *testing.T) { testRepairSound(t, s) })
	for _, d := range damages {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			d.repair(t, s)
		})
	}
}

// spoilable makes an image with some content in files.
func (s Subject) spoilable(t *testing.T, rec *Recorder) (path string, want []byte) {
	t.Helper()
	path, want = crashPath+"/"+s.File, make([]byte, 5*mib+3*512)
	o := s.Options
	o.Size, o.Files = int64(len(want)), rec
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	i := s.open(t, path, disk.OpenOptions{Files: rec})
	if _, err := i.ReadAt(want, 0); err != nil {
		t.Fatal(err)
	}
	scatter(t, i, want, 5)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.hold(path, rec, want); err != nil {
		t.Fatal(err)
	}
	return path, want
}

func testRepairSound(t *testing.T, s Subject) {
	rec := NewRecorder()
	path, want := s.spoilable(t, rec)
	if err := s.Repair(path, disk.OpenOptions{Files: rec}); err != nil {
		t.Fatal(err)
	}
	if err := s.hold(path, rec, want); err != nil {
		t.Fatal(err)
	}
}

func (d Damage) repair(t *testing.T, s Subject) {
	rec := NewRecorder()
	path, want := s.spoilable(t, rec)
	d.Do(t, path, rec)
	rec.Settle()
	before, err := s.Check(path, disk.OpenOptions{ReadOnly: true, Files: rec})
	if err != nil {
		t.Fatalf("check of the damaged image: %v", err)
	}
	if worst, any := before.Worst(); !any || worst != d.Worst {
		t.Fatalf("check of the damaged image: %+v, want something as bad as %v", before.Problems, d.Worst)
	}
	if rec.Events() > 0 {
		t.Fatal("check changed the image")
	}
	if err := s.Repair(path, disk.OpenOptions{Files: rec}); err != nil {
		t.Fatalf("repair: %v", err)
	}
	if err := d.repaired(s, path, rec, want); err != nil {
		t.Fatal(err)
	}
	events := rec.Events()
	states, err := rec.Crashes(rand.New(rand.NewPCG(8, 99)), max(1, events/40), func(n int, left *Recorder) error {
		after, err := s.Check(path, disk.OpenOptions{ReadOnly: true, Files: left})
		if err != nil {
			return fmt.Errorf("check: %w", err)
		}
		if worst, any := after.Worst(); any && worst > d.Worst {
			return fmt.Errorf("it was no worse than %v, and is now: %+v", d.Worst, after.Problems)
		}
		if err := s.Repair(path, disk.OpenOptions{Files: left}); err != nil {
			return fmt.Errorf("repair again: %w", err)
		}
		return d.repaired(s, path, left, want)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events, %d crashes", events, states)
	left := rec.Get(path)
	if err := s.Repair(path, disk.OpenOptions{Files: rec}); err != nil {
		t.Fatalf("repair of the repaired image: %v", err)
	}
	if d.Beyond && !bytes.Equal(left, rec.Get(path)) {
		t.Error("repairing it once more changed what is beyond repair")
	}
}

// repaired expects an image without faults, other than what is beyond repair, and with its content.
func (d Damage) repaired(s Subject, path string, files disk.Files, want []byte) error {
	if !d.Beyond {
		return s.hold(path, files, want)
	}
	r, err := s.Check(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		return err
	}
	for _, p := range r.Problems {
		if p.Severity != disk.Damage {
			return fmt.Errorf("not repaired: %+v", p)
		}
	}
	return nil
}
