package tools_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/tools"
)

// kind is a format with one of its variants.
type kind struct {
	name, file string
	o          disk.CreateOptions
	flat       bool // it is preallocated
}

// kinds are all that can be created.
func kinds() (list []kind) {
	for _, f := range formats.All() {
		variants := f.Variants
		if len(variants) == 0 {
			variants = []string{""}
		}
		for _, v := range variants {
			k := kind{name: f.Name + " " + v, file: "disk" + f.Extensions[0], o: disk.CreateOptions{Variant: v}}
			switch {
			case f.Name == "raw" || v == "fixed" || v == "monolithicFlat" || v == "twoGbMaxExtentFlat" || v == "vmfs":
				k.flat = true
			case f.Name == "vhdx":
				k.o.BlockSize = mib
			case f.Name == "qcow2":
				k.o.BlockSize = 128 << 10
			case f.Name == "vhd":
				k.o.BlockSize = 512 << 10
			}
			list = append(list, k)
		}
	}
	return list
}

// each runs a test for each kind of image.
func each(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

// spotless expects that a check finds nothing.
func spotless(t testing.TB, path string) {
	t.Helper()
	r, err := formats.Check(path, disk.OpenOptions{})
	if err != nil || len(r.Problems) > 0 {
		t.Errorf("%s: check: %+v, %v", path, r, err)
	}
}

// hold expects content and a sound image.
func hold(t testing.TB, path string, want []byte) {
	t.Helper()
	got := content(t, path, disk.OpenOptions{})
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Fatalf("%s: holds something else, from byte %d on; %d bytes, want %d", path, at, len(got), len(want))
	}
	spotless(t, path)
}

// files reads all files of a folder, to see whether they change.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	out := map[string]string{}
	for _, e := range list {
		if e.Type().IsRegular() {
			p, err := os.ReadFile(in(dir, e.Name()))
			must(t, err)
			out[e.Name()] = string(p)
		}
	}
	return out
}

// stillAs expects a folder as it was.
func stillAs(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	after := files(t, dir)
	for name, p := range before {
		if after[name] != p {
			t.Errorf("%s has changed", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}
}

// shuffled makes an image of want whose blocks lie in its file in a random order. Zeroes are stored too if zeroes is set.
func shuffled(t testing.TB, path string, o disk.CreateOptions, want []byte, zeroes bool) {
	t.Helper()
	o.Size = int64(len(want))
	must(t, formats.Create(path, o))
	i, err := formats.Open(path, disk.OpenOptions{Files: o.Files})
	must(t, err)
	const piece = 64 << 10
	rng := rand.New(rand.NewPCG(uint64(len(want)), 4))
	for _, k := range rng.Perm((len(want) + piece - 1) / piece) {
		at := k * piece
		p := want[at:min(at+piece, len(want))]
		if !zeroes && len(bytes.Trim(p, "\x00")) == 0 {
			continue
		}
		if _, err := i.WriteAt(p, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	must(t, i.Close())
}

// blocky is content of which the first 2 MiB are zeroes, and every other MiB from there on.
func blocky(size int, seed uint64) []byte {
	p := mixed(size, seed)
	for at := 0; at < size; at += 2 * mib {
		clear(p[at:min(size, at+mib)])
	}
	clear(p[:2*mib])
	return p
}

func TestCompact(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		d := dir(t)
		path := in(d, k.file)
		want := blocky(8*mib+512, 1)
		shuffled(t, path, k.o, want, true)
		before := files(t, d)
		dry, err := tools.Compact(t.Context(), path, tools.CompactOptions{DryRun: true})
		must(t, err)
		stillAs(t, d, before)
		r, err := tools.Compact(t.Context(), path, tools.CompactOptions{})
		must(t, err)
		hold(t, path, want)
		if dry.Zero != r.Zero || r.Free != 0 || r.Kept != 0 {
			t.Errorf("done %+v, announced %+v", r, dry)
		}
		if r.Zero < 3*mib && !compresses(k) || r.After > r.Before || !compresses(k) && r.After > r.Before-3*mib {
			t.Errorf("%+v", r)
		}
		only(t, d, slices.Sorted(keys(before))...)
		again, err := tools.Compact(t.Context(), path, tools.CompactOptions{})
		must(t, err)
		if again.Zero != 0 && !k.flat || again.After > r.After || again.Moved != 0 {
			t.Errorf("again: %+v", again)
		}
		hold(t, path, want)
	})
}

// compresses says whether zeroes take no room in the first place.
func compresses(k kind) bool { return k.o.Variant == "streamOptimized" }

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestCompactCanceled(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		d := dir(t)
		path := in(d, k.file)
		want := blocky(6*mib, 2)
		shuffled(t, path, k.o, want, true)
		for _, step := range []string{"looking", "moving"} {
			ctx, half := canceled(t)
			o := tools.CompactOptions{}
			if step == "looking" {
				o.Looking = half
			} else {
				o.Moving = half
			}
			if _, err := tools.Compact(ctx, path, o); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", step, err)
			}
			hold(t, path, want)
		}
		_, err := tools.Compact(t.Context(), path, tools.CompactOptions{})
		must(t, err)
		hold(t, path, want)
	})
}

func TestDefrag(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		d := dir(t)
		path := in(d, k.file)
		want := blocky(12*mib+512, 3)
		shuffled(t, path, k.o, want, false)
		before := files(t, d)
		dry, err := tools.Defrag(t.Context(), path, tools.DefragOptions{DryRun: true})
		stillAs(t, d, before)
		if k.flat || compresses(k) {
			if !errors.Is(err, disk.ErrUnsupported) {
				t.Errorf("dry run: %v", err)
			}
			if _, err := tools.Defrag(t.Context(), path, tools.DefragOptions{}); !errors.Is(err, disk.ErrUnsupported) {
				t.Errorf("%v", err)
			}
			stillAs(t, d, before)
			return
		}
		must(t, err)
		r, err := tools.Defrag(t.Context(), path, tools.DefragOptions{})
		must(t, err)
		hold(t, path, want)
		if r.Before < 3 || r.After != 1 || r.Blocks < 5 || r.Moved == 0 || dry.Before < 3 {
			t.Errorf("%+v; announced %+v", r, dry)
		}
		if size := total(t, d); size > int64(len(concat(before)))+mib {
			t.Errorf("the files have %d bytes, %d before", size, len(concat(before)))
		}
		again, err := tools.Defrag(t.Context(), path, tools.DefragOptions{})
		must(t, err)
		if again.Before != 1 || again.Moved != 0 {
			t.Errorf("again: %+v", again)
		}
	})
}

func concat(files map[string]string) (all string) {
	for _, p := range files {
		all += p
	}
	return all
}

func total(t testing.TB, dir string) int64 { return int64(len(concat(files(t, dir)))) }

func TestDefragInterrupted(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		if k.flat || compresses(k) {
			t.Skip("refused")
		}
		d := dir(t)
		path := in(d, k.file)
		want := mixed(12*mib, 4)
		clear(want[:2*mib])
		k.o.Size = int64(len(want))
		must(t, formats.Create(path, k.o))
		i, err := formats.Open(path, disk.OpenOptions{})
		must(t, err)
		for at := len(want) - mib; at >= 2*mib; at -= mib {
			_, err := i.WriteAt(want[at:at+mib], int64(at))
			must(t, err)
		}
		must(t, i.Close())
		before := files(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := tools.Defrag(ctx, path, tools.DefragOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled at once: %v", err)
		}
		hold(t, path, want)
		ctx, half := canceled(t)
		if _, err := tools.Defrag(ctx, path, tools.DefragOptions{Moving: half}); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		hold(t, path, want)
		if size := total(t, d); size > int64(len(concat(before)))+mib {
			t.Errorf("the files have %d bytes, %d before", size, len(concat(before)))
		}
	})
}

// TestMaintainCrash cuts the power while images are compacted and defragmented: nothing is lost, and the work can be done again.
func TestMaintainCrash(t *testing.T) {
	jobs := map[string]func(ctx context.Context, i disk.Image) error{
		"compact": func(ctx context.Context, i disk.Image) error {
			_, err := tools.CompactImage(ctx, i, tools.CompactOptions{})
			return err
		},
		"defrag": func(ctx context.Context, i disk.Image) error {
			arenas, err := i.(disk.Arrangeable).Arenas()
			if err != nil {
				return err
			}
			_, err = tools.Defragment(ctx, arenas, tools.DefragOptions{}, mib)
			return err
		},
	}
	each(t, func(t *testing.T, k kind) {
		switch {
		case compresses(k):
			t.Skip("made anew, and renamed")
		case k.flat && k.name != "raw ", k.name == "qcow2 v2":
			t.Skip("as another")
		}
		for name, job := range jobs {
			if k.flat && name == "defrag" {
				continue
			}
			rec := disktest.NewRecorder()
			o, path := k.o, "d/"+k.file
			o.Files = rec
			want := blocky(4*mib, 5)
			if name == "defrag" {
				want = mixed(4*mib, 5)
				clear(want[:mib])
			}
			shuffled(t, path, o, want, name == "compact")
			rec.Settle()
			do := func(files *disktest.Recorder) error {
				i, err := formats.Open(path, disk.OpenOptions{Files: files, KeepIdentity: true})
				if err != nil {
					return fmt.Errorf("open: %w", err)
				}
				return errors.Join(job(t.Context(), i), i.Close())
			}
			look := func(files *disktest.Recorder) error {
				i, err := formats.Open(path, disk.OpenOptions{Files: files})
				if err != nil {
					return fmt.Errorf("open: %w", err)
				}
				got := make([]byte, len(want))
				if _, err := i.ReadAt(got, 0); err != nil {
					return err
				}
				if !bytes.Equal(got, want) {
					return errors.New("the content has changed")
				}
				if err := i.Close(); err != nil {
					return err
				}
				r, err := formats.Check(path, disk.OpenOptions{Files: files})
				if err != nil || len(r.Problems) > 0 {
					return fmt.Errorf("check: %+v, %w", r, err)
				}
				return nil
			}
			if err := do(rec); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			events := rec.Events()
			states, err := rec.Crashes(rand.New(rand.NewPCG(1, 7)), max(1, events/4), func(_ int, left *disktest.Recorder) error {
				r, err := formats.Check(path, disk.OpenOptions{Files: left})
				if err != nil {
					return fmt.Errorf("check: %w", err)
				}
				if worst, _ := r.Worst(); worst == disk.Damage {
					return fmt.Errorf("check: %+v", r.Problems)
				}
				if err := look(left); err != nil {
					return err
				}
				if err := do(left); err != nil {
					return fmt.Errorf("again: %w", err)
				}
				return look(left)
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			t.Logf("%s: %d events, %d crashes", name, events, states)
		}
	})
}

// TestMaintainChildren has an image that another is based on.
func TestMaintainChildren(t *testing.T) {
	d := dir(t)
	path := image(t, in(d, "base.vmdk"), mixed(2*mib, 6), disk.CreateOptions{})
	must(t, formats.Create(in(d, "child.vmdk"), disk.CreateOptions{Parent: path}))
	before := files(t, d)
	_, compact := tools.Compact(t.Context(), path, tools.CompactOptions{})
	_, defrag := tools.Defrag(t.Context(), path, tools.DefragOptions{})
	_, resize := tools.Resize(t.Context(), path, tools.ResizeOptions{Size: to(4 * mib)})
	for name, err := range map[string]error{"compact": compact, "defrag": defrag, "resize": resize} {
		if !errors.Is(err, tools.ErrHasChildren) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stillAs(t, d, before)
}

func openWrite(path string) (disk.Image, error) { return formats.Open(path, disk.OpenOptions{}) }
