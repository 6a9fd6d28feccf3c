package instant

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/snapshot"
)

// rig is a store and a machine with a .vmx, a kernel and a disk.
type rig struct {
	*Store
	vmx, kernel, initrd, authorities, disk string
	m                                      *config.Machine
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	s, err := OpenAt(filepath.Join(dir, "cache", "instant"))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: s, vmx: filepath.Join(dir, "web.vmx"), kernel: filepath.Join(dir, "kernel"), disk: filepath.Join(dir, "disk")}
	r.initrd, r.authorities = filepath.Join(dir, "initrd"), filepath.Join(dir, "ca.pem")
	for _, f := range []string{r.vmx, r.kernel, r.initrd, r.authorities, r.disk} {
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.m = config.New("web")
	r.m.Boot.Kernel, r.m.Boot.Initrd, r.m.Run.Kiosk.CA = r.kernel, r.initrd, r.authorities
	return r
}

func (r *rig) place(t *testing.T) *Place {
	t.Helper()
	p, err := r.Place(r.vmx, r.m)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// make makes a snapshot whose memory is text.
func (r *rig) make(t *testing.T, p *Place, text string) {
	t.Helper()
	d, err := p.Create([]string{snapshot.StateFile, snapshot.MemoryFile}, int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Files[snapshot.MemoryFile].WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(d, []string{r.disk}); err != nil {
		t.Fatal(err)
	}
}

// TestChanges makes a snapshot and changes what it is of: each time it is of no use, and that is said.
func TestChanges(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for _, test := range []struct {
		name, want string
		change     func(r *rig, p *Place) error
	}{
		{"nothing", "", func(*rig, *Place) error { return nil }},
		{"the .vmx", "web.vmx has changed", func(r *rig, _ *Place) error { return os.Chtimes(r.vmx, later, later) }},
		{"the kernel", "kernel has changed", func(r *rig, _ *Place) error { return os.Truncate(r.kernel, 1) }},
		{"the initrd", "initrd has changed", func(r *rig, _ *Place) error { return os.Truncate(r.initrd, 1) }},
		{"authorities", "ca.pem has changed", func(r *rig, _ *Place) error { return os.Chtimes(r.authorities, later, later) }},
		{"a disk", "the disk has changed", func(r *rig, _ *Place) error { return os.Chtimes(r.disk, later, later) }},
		{"vmm", "another version", func(_ *rig, p *Place) error { return edit(p, `"Program":"`, `"Program":"1`) }},
		{"the processor", "another processor", func(_ *rig, p *Place) error { return edit(p, `"Processor":"`, `"Processor":"1`) }},
		{"the identity, cut", "damaged", func(_ *rig, p *Place) error { return os.Truncate(filepath.Join(p.Dir, identityFile), 9) }},
		{"a machine's word", "a machine could not go on from it", func(_ *rig, p *Place) error {
			f, err := p.Spoiler()
			if err != nil {
				return err
			}
			return errors.Join(Spoil(f), f.Close())
		}},
		{"no identity", "damaged", func(_ *rig, p *Place) error { return os.Remove(filepath.Join(p.Dir, identityFile)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			if err := r.place(t).Check(); !errors.Is(err, ErrNone) {
				t.Fatal(err)
			}
			r.make(t, r.place(t), "ram")
			p := r.place(t)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if err := test.change(r, p); err != nil {
				t.Fatal(err)
			}
			p = r.place(t)
			err := p.Check()
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if err := p.Remove(); err != nil {
				t.Fatal(err)
			}
			if err := p.Check(); !errors.Is(err, ErrNone) {
				t.Error(err)
			}
		})
	}
}

func edit(p *Place, old, new string) error {
	path := filepath.Join(p.Dir, identityFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), old, new, 1)), 0o600)
}

// TestSpoiler has a machine's process that was taken over write what it likes where it may: it can say that the snapshot is of no use, and change nothing that others go on from.
func TestSpoiler(t *testing.T) {
	r := newRig(t)
	r.make(t, r.place(t), "ram")
	p := r.place(t)
	f, err := p.Spoiler()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{snapshot.StateFile, snapshot.MemoryFile, identityFile} {
		a, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.Stat(filepath.Join(p.Dir, name)); err != nil || os.SameFile(a, b) {
			t.Errorf("the process can write to %s: %v", name, err)
		}
	}
	if err := p.Check(); err != nil {
		t.Errorf("opened and not spoilt: %v", err)
	}
}

// TestPlaces has machines that guests can tell apart lie apart, and no others.
func TestPlaces(t *testing.T) {
	r := newRig(t)
	first := r.place(t).key
	for name, change := range map[string]func(m *config.Machine){
		"VNC":      func(m *config.Machine) { m.Display.VNC.Port = 7 },
		"limits":   func(m *config.Machine) { m.Limits.CPUShares = 9 },
		"priority": func(m *config.Machine) { m.Run.Priority = config.PriorityHigh },
	} {
		m := *r.m
		change(&m)
		if p, err := r.Place(r.vmx, &m); err != nil || p.key != first {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	for name, change := range map[string]func(m *config.Machine){
		"memory":       func(m *config.Machine) { m.Memory *= 2 },
		"command line": func(m *config.Machine) { m.Boot.Cmdline = "quiet" },
		"page":         func(m *config.Machine) { m.Run.Kiosk.URL = "https://example.org/" },
		"network card": func(m *config.Machine) { m.NICs = []config.NIC{{}} },
	} {
		m := *r.m
		change(&m)
		if p, err := r.Place(r.vmx, &m); err != nil || p.key == first {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, err := r.Place(r.kernel, r.m); err != nil || p.key == first {
		t.Errorf("another .vmx: %v, %v", p, err)
	}
}

// TestAnew makes a snapshot anew: it lies under another name, the older one goes, and who has that open goes on with it.
func TestAnew(t *testing.T) {
	r := newRig(t)
	r.make(t, r.place(t), "first")
	was := r.place(t)
	memory, err := os.Open(filepath.Join(was.Dir, snapshot.MemoryFile))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	r.make(t, was, "second")
	is := r.place(t)
	if is.Dir == was.Dir || is.key != was.key {
		t.Errorf("%s after %s", is.Dir, was.Dir)
	}
	for want, read := range map[string]func() ([]byte, error){
		"first":  func() ([]byte, error) { return io.ReadAll(memory) },
		"second": func() ([]byte, error) { return os.ReadFile(filepath.Join(is.Dir, snapshot.MemoryFile)) },
	} {
		if b, err := read(); string(b) != want || err != nil {
			t.Errorf("%q instead of %q, %v", b, want, err)
		}
	}
	if all, err := r.List(); len(all) != 1 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}

// TestDrafts leaves drafts behind: those go whose makers are gone, as far as that can be known.
func TestDrafts(t *testing.T) {
	r := newRig(t)
	work, err := r.place(t).Create([]string{snapshot.MemoryFile}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Discard()
	left := func(boot string, age time.Duration) string {
		t.Helper()
		dir, err := os.MkdirTemp(r.root, ".web-0.1.new-")
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(identity{Boot: boot})
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(filepath.Join(dir, identityFile), b, 0o600), os.Chtimes(dir, at, at)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	drafts := map[string]bool{
		filepath.Dir(work.Files[snapshot.MemoryFile].Name()): true,
		left(bootID(), time.Minute):                          false,
		left("another host", time.Minute):                    true, // somebody may be at work there, whose lock cannot be seen
		left("another host", 2*draftAge):                     false,
	}
	r.sweep()
	for dir, want := range drafts {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v, want it left: %t", dir, err, want)
		}
	}
}

// TestProgram has a program that was built anew without a change for the same one.
func TestProgram(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	was, err := program("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}
	if is, err := program(path); is != was || err != nil {
		t.Errorf("%s instead of %s, %v", is, was, err)
	}
	at := bytes.Index(self, []byte("Go\x00\x00")) // the note's name, and then what it says
	self[at+8] ^= 1
	if err := os.WriteFile(path, self, 0o700); err != nil {
		t.Fatal(err)
	}
	if is, err := program(path); is == was || err != nil {
		t.Errorf("another program is %s too, %v", is, err)
	}
}

// TestRoom fills the store: what nobody can use goes, then what was not used for longest, and never what is there for the same machine.
func TestRoom(t *testing.T) {
	r := newRig(t)
	used := map[string]time.Time{}
	var places []*Place
	for i := range 4 {
		r.m.Memory = int64(i+1) << 30
		r.make(t, r.place(t), strings.Repeat("x", 4096))
		p := r.place(t)
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(filepath.Join(p.Dir, identityFile), at, at); err != nil {
			t.Fatal(err)
		}
		used[filepath.Base(p.Dir)] = at
		places = append(places, p)
	}
	all, err := r.List()
	if err != nil || len(all) != 4 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, e := range all {
		if e.VMX != r.vmx || e.Size < 4096 || i > 0 && e.Used.After(all[i-1].Used) {
			t.Errorf("%d: %+v", i, e)
		}
	}
	left := func(want ...*Place) {
		t.Helper()
		all, err := r.List()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range want {
			if err := p.Check(); err != nil {
				t.Errorf("%s: %v", p.Dir, err)
			}
		}
		if len(all) != len(want) {
			t.Errorf("%d are left, want %d", len(all), len(want))
		}
	}
	places[0].Used() // was the oldest
	size := all[0].Size
	if err := r.makeRoom(places[3], Limit-2*size); err != nil { // places[3] is replaced, and two more fit
		t.Fatal(err)
	}
	left(places[0], places[2], places[3])
	if err := r.makeRoom(places[3], 1<<60); err == nil {
		t.Error("a snapshot larger than the disk has room")
	}
	if err := places[3].Room(size); err != nil {
		t.Error(err)
	}
	if err := places[3].Room(1 << 60); err == nil || !strings.Contains(err.Error(), "MiB more on its disk") {
		t.Error(err)
	}
	left(places[0], places[2], places[3])
	// The .vmx is gone, and another machine needs room.
	if err := os.Remove(r.vmx); err != nil {
		t.Fatal(err)
	}
	other, err := r.Place(r.kernel, r.m)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.makeRoom(other, 1); err != nil {
		t.Fatal(err)
	}
	left()
	if n, err := r.Remove(""); n != 0 || err != nil {
		t.Error(n, err)
	}
}

// TestLock has two at the same snapshot.
func TestLock(t *testing.T) {
	p := newRig(t).place(t)
	unlock, err := p.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Lock(); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	unlock()
	if unlock, err = p.Lock(); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestLasting(t *testing.T) {
	a := lasting("processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 1000.1\nflags\t\t: fpu\n")
	b := lasting("processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 2000.1\nflags\t\t: fpu\n")
	c := lasting("processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 2000.1\nflags\t\t: fpu sse\n")
	d := lasting("processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 2000.1\nflags\t\t: fpu ht sse cmp_legacy\n")
	if a == "" || a != b || a == c || c != d {
		t.Errorf("%q, %q, %q, %q", a, b, c, d)
	}
}
