package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/devices/vmgenid"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/kvm"
)

// powered gives a stand's machine a board, which does not run.
func (s *stand) powered(t *testing.T, more ...func(b *board)) *board {
	t.Helper()
	b := &board{m: s.m, verdict: newVerdict(), restored: make(chan struct{})}
	for _, step := range []func() error{b.addMemory, b.addVM, b.addPlatform, b.addPCI} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	<-b.loading.done
	for _, f := range more {
		f(b)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// saved saves a stand's machine to a folder, as vmm snapshot save does.
func (s *stand) saved(t *testing.T, dir string, spoil func(files map[string]*os.File)) error {
	t.Helper()
	draft, err := snapshot.Create(dir, s.m.SnapshotFiles())
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	if spoil != nil {
		spoil(draft.Files)
	}
	if err := s.m.SaveSnapshot(draft.Files, nil, nil); err != nil {
		return err
	}
	return draft.Commit(nil)
}

// showsLines has a board's VGA show a picture whose memory lies in the window of old.
func showsLines(b *board) {
	const index, data = 0x1ce, 0x1cf // bochs-display's registers: width, height, bits, on
	for i, v := range []uint16{640, 480, 32, 1} {
		b.vm.Ports.Write(index, []byte{byte(i + 1), 0})
		b.vm.Ports.Write(data, []byte{byte(v), byte(v >> 8)})
	}
}

// TestSaveSnapshot saves a machine and has others go on from there: with its memory and what it wrote, and, unless it is the same one, with addresses of their own.
func TestSaveSnapshot(t *testing.T) {
	for name, keys := range boards {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, keys)
			s.m.board = s.powered(t)
			const mark, written = "in memory", "on a disk"
			if err := s.m.board.mem.Write(0x7000, []byte(mark)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.m.disks[0].WriteAt([]byte(written), 512); err != nil {
				t.Fatal(err)
			}
			const drawn = "on the screen"
			if name == "pc" {
				showsLines(s.m.board)
				s.m.board.vm.MMIO.Write(layout.VideoRAM, []byte(drawn))
			}
			dir := filepath.Join(t.TempDir(), "saved")
			if err := s.saved(t, dir, nil); err != nil {
				t.Fatal(err)
			}
			if s.m.pauses != 0 || s.m.board.paused || s.m.off {
				t.Error("the machine does not go on")
			}
			sums, err := os.ReadFile(filepath.Join(dir, snapshot.SumsFile))
			if err != nil {
				t.Fatal(err)
			}
			var summed []snapshot.Summed
			if err := json.Unmarshal(sums[bytes.IndexByte(sums, '['):], &summed); err != nil {
				t.Fatal(err)
			}
			for _, file := range s.m.SnapshotFiles() {
				has := slices.ContainsFunc(summed, func(s snapshot.Summed) bool { return s.Name == file })
				if file != snapshot.StateFile && file != snapshot.SumsFile && !has {
					t.Errorf("%s has no checksums", file)
				}
			}
			if _, err := snapshot.Verify(dir); err != nil {
				t.Error(err)
			}
			for _, clone := range []bool{false, true} {
				from, err := OpenSnapshot(dir)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(from.meta.Shape, s.m.shape()) || !strings.Contains(strings.Join(from.meta.Shape, ""), "ide0:0 of 1048576 bytes") || len(from.meta.Kept) != 4 {
					t.Errorf("it is of %q, with %q kept", from.meta.Shape, from.meta.Kept)
				}
				m, err := New(Options{Config: s.m.cfg, System: s.m.opt.System, Discard: true, From: from, Clone: clone})
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				if same := m.uuid == s.m.uuid && slices.Equal(m.macs, s.m.macs); same == clone {
					t.Errorf("clone %t: it has the same addresses: %t", clone, same)
				}
				got := make([]byte, len(written))
				if _, err := m.disks[0].ReadAt(got, 512); err != nil || string(got) != written {
					t.Errorf("it reads %q from its disk, %v", got, err)
				}
				b, err := m.newBoard(nil)
				if err != nil {
					t.Fatal(err)
				}
				got = make([]byte, len(mark))
				if err := b.mem.Read(0x7000, got); err != nil || string(got) != mark {
					t.Errorf("it reads %q in its memory, %v", got, err)
				}
				if m.from != nil {
					t.Error("its next board would go on from there, too")
				}
				if err := from.memory.Close(); !errors.Is(err, os.ErrClosed) {
					t.Error("the snapshot is still open")
				}
				b.resumeDevices() // waits for their memory
				got = make([]byte, len(drawn))
				if b.vm.MMIO.Read(layout.VideoRAM, got); name == "pc" && string(got) != drawn {
					t.Errorf("its video memory holds %q", got)
				}
				if err := b.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestSaveRefused are savings that fail: the machine goes on, and nothing is there.
func TestSaveRefused(t *testing.T) {
	s := newStand(t, pcBoard)
	dir := filepath.Join(t.TempDir(), "saved")
	refused := func(what string, spoil func(map[string]*os.File), want func(error) bool) {
		t.Helper()
		if err := s.saved(t, dir, spoil); err == nil || !want(err) {
			t.Errorf("%s: %v", what, err)
		}
		if s.m.pauses != 0 {
			t.Errorf("%s: the machine stays paused", what)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: there is a snapshot", what)
		}
	}
	refused("a machine that is off", nil, func(err error) bool { return errors.Is(err, ErrOff) })
	s.m.calls = make(chan call)
	refused("a machine that sleeps", nil, func(err error) bool { return errors.Is(err, errAsleep) })
	s.m.calls = nil
	s.m.board = s.powered(t)
	if err := s.m.board.mem.Write(0x7000, []byte{1}); err != nil {
		t.Fatal(err)
	}
	showsLines(s.m.board)
	s.m.board.vm.MMIO.Write(layout.VideoRAM, []byte("something"))
	for _, name := range s.m.SnapshotFiles() {
		refused("without "+name, func(files map[string]*os.File) { delete(files, name) }, func(err error) bool { return strings.Contains(err.Error(), name) })
		refused(name+", which cannot be written", func(files map[string]*os.File) {
			f, err := os.Open(files[name].Name())
			if err != nil {
				t.Fatal(err)
			}
			files[name].Close()
			files[name] = f
		}, func(error) bool { return true })
	}
	// A disk that is written to for good has to hold what the guest has written.
	kept := s.m.disks[0]
	s.m.disks[0] = unflushed{kept}
	refused("a disk that cannot be flushed", nil, func(err error) bool { return errors.Is(err, errUnflushed) })
	s.m.disks[0] = kept
	// Told to end there it does.
	draft, err := snapshot.Create(dir, s.m.SnapshotFiles())
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Discard()
	if err := s.m.SaveSnapshot(draft.Files, nil, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	if !s.m.off || s.m.pauses != 1 || s.m.board.verdict.what != poweredOff {
		t.Error("the machine goes on beyond what was saved, and is not off")
	}
	s.m.board = nil
}

// unflushed is a disk whose host has no room for what was written.
type unflushed struct{ disk.Image }

var errUnflushed = errors.New("no room")

func (unflushed) Flush() error { return errUnflushed }

// TestRestoreRefused has a machine go on from what was saved of another one: it says in what they differ.
func TestRestoreRefused(t *testing.T) {
	s := newStand(t, pcBoard)
	good := *s.meta
	b := s.powered(t)
	good.TSC = b.vm.VCPUs()[0].KVM().TSCKHz()
	fewer, err := (&board{m: s.m, vm: b.vm, devices: b.devices[:len(b.devices)-1]}).save(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		meta    func(m *snapshot.Meta)
		devices []byte
		want    string
	}{
		"the same":          {func(*snapshot.Meta) {}, s.devices, ""},
		"a part more":       {func(m *snapshot.Meta) { m.Shape = append(slices.Clone(m.Shape), "a crystal ball") }, s.devices, "a machine with a crystal ball"},
		"a part less":       {func(m *snapshot.Meta) { m.Shape = m.Shape[1:] }, s.devices, "this one has 64 MiB of memory"},
		"another processor": {func(m *snapshot.Meta) { m.CPUID = append([]kvm.CPUIDEntry{{Function: 0x99}}, m.CPUID...) }, s.devices, "a processor with CPUID 0x99"},
		"a faster one":      {func(m *snapshot.Meta) { m.TSC = m.TSC*2 + 1_000_000 }, s.devices, "time stamp counter"},
		"fewer devices":     {func(*snapshot.Meta) {}, fewer, "devices, this machine has"},
	} {
		if name == "a faster one" && good.TSC == 0 {
			continue // this host does not tell
		}
		meta := good
		test.meta(&meta)
		s.meta = &meta
		if err := s.restore(t, bytes.Clone(test.devices)); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	s.m.cfg.NICs = s.m.cfg.NICs[:1]
	if _, err := New(Options{Config: s.m.cfg, System: s.m.opt.System, Discard: true, From: &Snapshot{meta: &good}}); err == nil || !strings.Contains(err.Error(), "with 3 network cards; this one has 1") {
		t.Errorf("fewer cards: %v", err)
	}
}

// TestRestoreRenews has a machine with firmware go on: its guest's system finds another generation id, and is told to look.
func TestRestoreRenews(t *testing.T) {
	s := newStand(t, pcBoard)
	told := 0
	const page = 0x9000
	add := func(b *board) {
		b.generation = vmgenid.New(b.mem, func() { told++ }, b.m.log)
		b.devices = append(b.devices, b.generation)
	}
	b := s.powered(t, add)
	b.generation.Placed([]byte{page & 0xff, page >> 8, 0, 0, 0, 0, 0, 0})
	was := b.generation.Page()
	var err error
	if s.devices, err = b.save(nil); err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(s.memory)
	if err != nil {
		t.Fatal(err)
	}
	next := s.powered(t, add)
	next.from = &Snapshot{meta: s.meta, devices: s.devices, memory: memory}
	if err := next.restore(); err != nil {
		t.Fatal(err)
	}
	in := make([]byte, len(was))
	if err := next.mem.Read(page, in); err != nil {
		t.Fatal(err)
	}
	if is := next.generation.Page(); bytes.Equal(is, was) || told != 1 || !bytes.Equal(in[vmgenid.Offset:][:16], is[vmgenid.Offset:][:16]) {
		t.Errorf("the number was % x, is % x, in memory % x; told %d times", was[vmgenid.Offset:][:16], is[vmgenid.Offset:][:16], in[vmgenid.Offset:][:16], told)
	}
}
