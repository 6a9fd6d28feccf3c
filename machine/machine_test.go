package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio/rng"
	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
)

// turns is a device that minds being paused or resumed twice, as one that starts workers does.
type turns struct {
	state.Device
	t      *testing.T
	paused bool
}

func (d *turns) Pause() {
	if d.paused {
		d.t.Error("a paused device is paused again")
	}
	d.paused = true
}

func (d *turns) Resume() {
	if !d.paused {
		d.t.Error("a running device is resumed")
	}
	d.paused = false
}

// bareBoard is a board without vCPUs and with one device.
func bareBoard(t *testing.T) (*board, *turns) {
	d := &turns{t: t}
	return &board{vm: &vmm.VM{}, verdict: newVerdict(), devices: []state.Device{d}}, d
}

// hanging is a device whose host does not answer.
type hanging struct {
	state.Device
	entered, answer chan struct{}
}

func (h *hanging) Pause() {
	close(h.entered)
	<-h.answer
}

// TestPowerOffWhileADiskHangs has a disk hold up a pause: the machine can be powered off all the same, and does not wait for it for ever.
func TestPowerOffWhileADiskHangs(t *testing.T) {
	m := Machine{log: slog.New(slog.DiscardHandler), console: newUserConsole(nil, nil)}
	h := &hanging{entered: make(chan struct{}), answer: make(chan struct{})}
	b := &board{vm: &vmm.VM{}, verdict: newVerdict(), devices: []state.Device{h}}
	m.adopt(b)
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		m.Pause()
	}()
	<-h.entered
	m.Resize(80, 0)
	m.PowerOff()
	<-b.verdict.done
	if err := m.takeDown(b, time.Millisecond); !errors.Is(err, ErrStuck) {
		t.Errorf("taking the board down: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	close(h.answer)
	<-paused
}

func TestPausesNest(t *testing.T) {
	var m Machine
	b, d := bareBoard(t)
	m.Resume() // too many: forgotten
	m.adopt(b)
	m.Resume()
	m.Pause()
	m.Pause()
	if m.Resume(); !d.paused {
		t.Error("one Resume undid two Pauses")
	}
	if m.Resume(); d.paused {
		t.Error("two Resumes did not undo two Pauses")
	}
}

func TestPauseOutlivesAPowerCycle(t *testing.T) {
	var m Machine
	first, _ := bareBoard(t)
	m.adopt(first)
	m.Pause()
	second, d := bareBoard(t)
	m.adopt(second)
	if !d.paused {
		t.Error("a machine that restarts while it is paused runs")
	}
	if m.Resume(); d.paused {
		t.Error("it cannot be resumed")
	}
}

func TestPowerOffBetweenPowerCycles(t *testing.T) {
	var m Machine
	m.PowerOff()
	b, _ := bareBoard(t)
	m.adopt(b)
	select {
	case <-b.verdict.done:
	default:
		t.Fatal("the machine starts again")
	}
	if b.verdict.decide(rebooted, nil); b.verdict.what != poweredOff {
		t.Errorf("the verdict is %v", b.verdict.what)
	}
}

// TestTooManyDevices fills the bus: the error names what has no place, and what to do.
func TestTooManyDevices(t *testing.T) {
	root, err := pci.NewRoot(pci.Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{m: &Machine{cfg: &config.Machine{}, log: slog.New(slog.DiscardHandler)}, vm: &vmm.VM{}, root: root}
	for i := range 32 {
		switch err = b.plug(fmt.Sprintf("disk %d", i), rng.New()); {
		case i < 31 && err != nil:
			t.Fatal(err)
		case i == 31 && (err == nil || !strings.Contains(err.Error(), "disk 31: the board holds 31 devices")):
			t.Errorf("the 32nd device: %v", err)
		}
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}

// TestHeldTerminal takes a board down while the user's terminal takes no output, as after Ctrl-S: that is no failure of the machine.
func TestHeldTerminal(t *testing.T) {
	in, held := io.Pipe()
	defer in.Close()
	var log bytes.Buffer
	m := &Machine{console: newUserConsole(nil, held), log: slog.New(slog.NewTextHandler(&log, nil))}
	mem, err := memory.FromRegions(memory.Region{Host: make([]byte, 4096)})
	if err != nil {
		t.Fatal(err)
	}
	root, err := pci.NewRoot(pci.Config{Memory: bus.New("memory", nil), IO: bus.New("port", nil), Buses: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &board{m: m, vm: &vmm.VM{}, mem: mem, root: root, verdict: newVerdict()}
	if err := b.addConsole(); err != nil {
		t.Fatal(err)
	}
	const emergencyWrite = 8 // in the configuration space of virtio's console
	b.hvc.WriteConfig(emergencyWrite, []byte("x"))
	if err := b.close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "lost") {
		t.Errorf("nothing says that output was lost: %q", log.String())
	}
}
