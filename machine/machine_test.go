package machine

import (
	"testing"

	"github.com/sharevm/vmm/vmm"
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
