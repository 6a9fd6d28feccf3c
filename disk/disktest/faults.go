package disktest

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
)

// Faults has the host fail writes and syncs of an image. What a successful Flush covered is there afterwards, and an image is
// never marked clean that is not.
func Faults(t *testing.T, s Subject) {
	t.Run("Write", func(t *testing.T) { testWriteFaults(t, s) })
	t.Run("Sync", func(t *testing.T) { testSyncFault(t, s) })
}

// recorded makes an image of 3 MiB in a Recorder.
func (s Subject) recorded(t *testing.T) (rec *Recorder, path string, i disk.Image) {
	t.Helper()
	rec, path = NewRecorder(), crashPath+"/"+s.File
	o := s.Options
	o.Size, o.Files = 3*mib, rec
	if err := s.Create(path, o); err != nil {
		t.Fatal(err)
	}
	return rec, path, s.open(t, path, disk.OpenOptions{Files: rec})
}

// testWriteFaults fails the nth write to the file, once, for every n until there is no such write.
func testWriteFaults(t *testing.T, s Subject) {
	for n := 1; ; n++ {
		rec, path, i := s.recorded(t)
		count := 0
		rec.Fault = func(sync bool, _ int64) error {
			if sync {
				return nil
			}
			if count++; count == n {
				return syscall.ENOSPC
			}
			return nil
		}
		failed := 0
		// try does what a guest does: it sees the error and tries again.
		try := func(what string, fn func() error) {
			t.Helper()
			err := fn()
			if err != nil {
				failed++
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("write %d fails: %s: %v, want ENOSPC", n, what, err)
				}
				err = fn()
			}
			if err != nil {
				t.Fatalf("write %d fails: %s again: %v", n, what, err)
			}
		}
		data := bytes.Repeat([]byte{0x77}, 200<<10)
		try("write", func() error { _, err := i.WriteAt(data, 100<<10); return err })
		try("flush", i.Flush)
		try("second write", func() error { _, err := i.WriteAt(data, 2*mib); return err })
		try("second flush", i.Flush)
		if err := i.Close(); err != nil { // Close has no second try
			failed++
		}
		if failed != min(failed, 1) || count >= n && failed == 0 {
			t.Fatalf("write %d fails: %d calls failed", n, failed)
		}
		rec.Fault = nil
		i = s.open(t, path, disk.OpenOptions{Files: rec})
		for _, off := range []int64{100 << 10, 2 * mib} {
			got := make([]byte, len(data))
			if _, err := i.ReadAt(got, off); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("write %d failed once, and flushed data is gone: %v", n, err)
			}
		}
		i.Close()
		if count < n {
			return
		}
	}
}

// testSyncFault fails one sync. The kernel may forget what it could not write, so that no later flush may succeed.
func testSyncFault(t *testing.T, s Subject) {
	rec, path, i := s.recorded(t)
	if _, err := i.WriteAt([]byte{1}, 0); err != nil {
		t.Fatal(err)
	}
	failed := false
	rec.Fault = func(sync bool, _ int64) error {
		if sync && !failed {
			failed = true
			return syscall.EIO
		}
		return nil
	}
	for range 3 {
		if err := i.Flush(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("flush after a failed sync: %v, want EIO", err)
		}
	}
	if err := i.Close(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("close after a failed sync: %v, want EIO", err)
	}
	rec.Fault = nil
	s.open(t, path, disk.OpenOptions{ReadOnly: true, Files: rec}).Close()
}
