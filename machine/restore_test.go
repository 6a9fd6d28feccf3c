package machine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/disk/volatile"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/kvm"
)

// stand is a machine whose boards are made and never run. Any KVM will do for that.
type stand struct {
	m       *Machine
	memory  string // path of a file that is RAM
	meta    *snapshot.Meta
	devices []byte // state of a board that has just been made
}

// newStand makes a machine of a .vmx with an IDE, a SATA, an NVMe and a SCSI disk of its own and more keys.
func newStand(t testing.TB, keys string) *stand {
	t.Helper()
	sys, err := kvm.Open("")
	if err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no KVM:", err)
	}
	t.Cleanup(func() { sys.Close() })
	dir := t.TempDir()
	text := "config.version = 8\nvirtualHW.version = 19\nguestOS = debian12-64\nmemsize = 64\nvmm.kernel = kernel\nvmm.agent = TRUE\n" + keys
	files := map[string][]byte{"test.vmx": nil, "kernel": make([]byte, 1<<20)}
	for _, address := range []string{"ide0:0", "sata0:0", "nvme0:0", "scsi0:0"} {
		text += fmt.Sprintf("%s.present = TRUE\n%s.present = TRUE\n%s.fileName = %s.img\n", address[:len(address)-2], address, address, address[:3])
		files[address[:3]+".img"] = make([]byte, 1<<20)
	}
	for i, model := range []string{"e1000e", "vmxnet3", "e1000"} {
		text += fmt.Sprintf("ethernet%d.present = TRUE\nethernet%d.connectionType = none\nvmm.ethernet%d.virtualDev = %s\n", i, i, i, model)
	}
	files["test.vmx"] = []byte(text)
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, _, err := vmx.Load(filepath.Join(dir, "test.vmx"), vmx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{Config: cfg, System: sys, Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s := &stand{m: m, memory: filepath.Join(dir, "memory")}
	b := &board{m: m, verdict: newVerdict()}
	defer b.close()
	for _, step := range []func() error{b.addMemory, b.addVM, b.addPlatform, b.addPCI} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	<-b.loading.done // a kernel of zeroes is none, and not needed
	for _, d := range b.devices {
		d.Pause()
	}
	if s.devices, err = b.save(nil); err != nil {
		t.Fatal(err)
	}
	s.meta = &snapshot.Meta{Shape: m.shape(), CPUID: b.vm.CPUID(), UUID: m.uuid, MACs: m.macs}
	f, err := os.Create(s.memory)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.mem.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return s
}

// restore makes a board of a state, has its devices go on, and takes it down.
func (s *stand) restore(t testing.TB, devices []byte) error {
	t.Helper()
	f, err := os.Open(s.memory)
	if err != nil {
		t.Fatal(err)
	}
	s.m.from = &Snapshot{meta: s.meta, devices: devices, memory: f}
	b, err := s.m.newBoard(nil)
	if err != nil {
		return err
	}
	b.resumeDevices()
	for _, d := range b.devices {
		d.Pause()
	}
	if _, err := b.save(nil); err != nil {
		t.Errorf("what was restored cannot be saved: %v", err)
	}
	return b.close()
}

const pcBoard = "vmm.board = pc\nscsi0.virtualDev = lsisas1068\nhpet0.present = TRUE\nvmm.display = vga\n"

// boards are the kinds of machines that are restored here.
var boards = map[string]string{
	"pc":       pcBoard,
	"pvscsi":   "vmm.board = pc\nscsi0.virtualDev = pvscsi\nvmm.display = virtio\nvmm.input = virtio\n",
	"lsilogic": "vmm.board = pc\nscsi0.virtualDev = lsilogic\nvmm.display = none\n",
}

// tamper changes a state somehow, half of the time where there is something: most of it is configuration space, of zeroes that must stay so.
func tamper(rng *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	place := func(room int) int {
		at := rng.IntN(len(b) - room)
		for dense := rng.IntN(2) == 0; dense && b[at] == 0; {
			at = rng.IntN(len(b) - room)
		}
		return at
	}
	switch rng.IntN(4) {
	case 0: // a few bits
		for range 1 + rng.IntN(8) {
			b[place(0)] ^= 1 << rng.IntN(8)
		}
	case 1: // a number
		at := place(8)
		binary.LittleEndian.PutUint32(b[at:], []uint32{0, 1, 0x7fffffff, 0xffffffff, rng.Uint32()}[rng.IntN(5)])
	case 2: // noise
		for at, n := place(64), rng.IntN(64); n > 0; n-- {
			b[at+n] = byte(rng.Uint32())
		}
	case 3:
		b = b[:rng.IntN(len(b))]
	}
	return b
}

// TestRestoreTampered restores machines from states that somebody has tampered with, checksums and all. They are refused, or the devices go on somehow: there is no
// panic, nothing hangs, and nothing is left behind.
func TestRestoreTampered(t *testing.T) {
	for name, keys := range boards {
		t.Run(name, func(t *testing.T) {
			s := newStand(t, keys)
			if err := s.restore(t, bytes.Clone(s.devices)); err != nil {
				t.Fatalf("untampered: %v", err)
			}
			fds, _ := held(t)
			const rounds, seed = 12, 1
			rng := rand.New(rand.NewPCG(seed, 1))
			refused := 0
			for range rounds {
				if err := s.restore(t, tamper(rng, s.devices)); err != nil {
					refused++
				}
			}
			if now, _ := held(t); now > fds {
				t.Errorf("%d descriptors, %d before", now, fds)
			}
			runtime.GC()
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			const most = 128 << 20
			if mem.HeapAlloc > most {
				t.Errorf("%d MiB are in use", mem.HeapAlloc>>20)
			}
			t.Logf("%d bytes of state, %d of %d tampered ones refused, %d MiB in use", len(s.devices), refused, rounds, mem.HeapAlloc>>20)
		})
	}
}

// FuzzRestore restores a board from any state.
func FuzzRestore(f *testing.F) {
	s := newStand(f, pcBoard)
	s.m.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	for seed := range uint64(8) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_ = s.restore(t, tamper(rand.New(rand.NewPCG(seed, 2)), s.devices))
		if ctx.Err() != nil {
			t.Error("it took too long")
		}
	})
}

// BenchmarkRestore takes the state of processors and devices, of a board that has all that there is.
func BenchmarkRestore(b *testing.B) {
	s := newStand(b, pcBoard)
	var processors, devices time.Duration
	n := 0
	for b.Loop() {
		s.m.opt.Timeline = NewTimeline(time.Now())
		if err := s.restore(b, s.devices); err != nil {
			b.Fatal(err)
		}
		at := map[string]time.Duration{}
		for _, m := range s.m.opt.Timeline.Marks() {
			at[m.Name] = m.After
		}
		processors += at["processors restored"] - at["snapshot fits"]
		devices += at["devices restored"] - at["processors restored"]
		n++
	}
	b.ReportMetric(float64(processors.Microseconds())/float64(n), "µs-processors/op")
	b.ReportMetric(float64(devices.Microseconds())/float64(n), "µs-devices/op")
}

// TestKeptDisks has a machine go on of which one disk threw away what was written: of the others it writes to the images again.
func TestKeptDisks(t *testing.T) {
	s := newStand(t, pcBoard)
	dir := t.TempDir()
	address := s.m.cfg.Disks[0].Address
	f, err := os.Create(filepath.Join(dir, snapshot.DiskFile(address)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.m.disks[0].(*volatile.Image).SaveTo(f); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.meta.Kept = []string{address.String()}
	if err := s.m.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{Config: s.m.cfg, System: s.m.opt.System, From: &Snapshot{folder: folder, meta: s.meta}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, d := range m.disks {
		_, discards := d.(*volatile.Image)
		if want := i == 0; discards != want {
			t.Errorf("disk %s throws away what is written: %t", m.cfg.Disks[i].Address, discards)
		}
	}
}

// TestFallback has a machine that cannot go on from a snapshot be powered on instead.
func TestFallback(t *testing.T) {
	s := newStand(t, pcBoard)
	for name, spoil := range map[string]func(*Snapshot){
		"nothing, and a processor that stands where there is no memory": func(*Snapshot) {},
		"another machine": func(from *Snapshot) { from.meta = &snapshot.Meta{Shape: []string{"nothing"}} },
		"devices cut":     func(from *Snapshot) { from.devices = from.devices[:len(from.devices)/2] },
		"memory cut": func(from *Snapshot) {
			if err := os.Truncate(from.memory.Name(), 4096); err != nil {
				t.Fatal(err)
			}
		},
	} {
		f, err := os.Open(s.memory)
		if err != nil {
			t.Fatal(err)
		}
		from := &Snapshot{meta: s.meta, devices: bytes.Clone(s.devices), memory: f}
		spoil(from)
		var why error
		m := s.m
		m.from, m.opt.Fallback, m.underway = from, func(err error) { why = err }, make(chan struct{})
		m.begin = sync.OnceFunc(func() { close(m.underway) })
		m.input.Keep()
		// The kernel of zeroes is none, which only a machine that is powered on finds out.
		if err := m.Run(t.Context()); err == nil || why == nil || errors.Is(err, why) {
			t.Errorf("%s: it fell back because of %v, and failed with %v", name, why, err)
		}
		select {
		case <-m.Underway():
		default:
			t.Errorf("%s: it is not under way", name)
		}
		k := &keyboard{}
		detach := m.input.Attach(input.Keyboard, k)
		if user := m.input.NewSource(); k.n.Load() == 0 {
			user.Key(input.KeyA, true)
			user.Release()
		}
		if n := k.n.Load(); n != 2 {
			t.Errorf("%s: the keyboard gets %d events, not 2", name, n)
		}
		detach()
		if f.Close() == nil {
			t.Errorf("%s: the memory's file is still open", name)
		}
	}
}

// keyboard counts what it gets.
type keyboard struct{ n atomic.Int32 }

func (*keyboard) Ready() bool               { return true }
func (*keyboard) Backlog() int              { return 0 }
func (k *keyboard) Frame(all []input.Event) { k.n.Add(int32(len(all))) }

// TestTypedAhead types at a viewer of a machine before it goes on from a snapshot: a keyboard of the guest's gets that, and not before the guest is there.
func TestTypedAhead(t *testing.T) {
	s := newStand(t, pcBoard)
	f, err := os.Open(s.memory)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(Options{Config: s.m.cfg, System: s.m.opt.System, Discard: true, From: &Snapshot{meta: s.meta, devices: s.devices, memory: f}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	k := &keyboard{}
	defer m.Input().Attach(input.Keyboard, k)()
	viewer := m.Frontend(0).Input.NewSource()
	viewer.Key(input.KeyLeftShift, true)
	viewer.Key(input.KeyA, true)
	viewer.Release()
	if n := k.n.Load(); n != 0 {
		t.Fatalf("%d events before the guest is there", n)
	}
	m.Pause() // this host's KVM may not run the guest
	ended := make(chan error, 1)
	go func() { ended <- m.Run(t.Context()) }()
	for end := time.Now().Add(time.Minute); k.n.Load() != 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the guest's keyboard got %d events, not 4", k.n.Load())
		}
	}
	m.PowerOff()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
