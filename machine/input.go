package machine

import (
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	virtioinput "github.com/sharevm/vmm/virtio/input"
)

// Frontend is what shows a screen of the machine and takes the user's keys for it. The screen must exist.
func (m *Machine) Frontend(screen int) frontend.Machine {
	return frontend.Machine{Name: m.cfg.Name, Surface: m.screens[screen], Input: &m.input, Clipboard: m.Clipboard()}
}

// Input is where the user's keys and pointer go, for as long as the machine is open. It outlives power cycles. What users do before a machine goes on from a snapshot is kept for
// the guest that does.
func (m *Machine) Input() *input.Hub { return &m.input }

// addInput attaches what the board has for keys and pointers, and plugs a virtio keyboard and tablet where they are wanted. A guest's driver
// takes what it gets from the device that it found last, so that firmware is typed at through the i8042 and Linux through virtio.
func (b *board) addInput() error {
	if b.pc() {
		b.attachInput(input.Keyboard, b.keyboard.Keyboard())
		b.attachInput(input.Mouse, b.keyboard.Mouse())
	}
	if !b.wantsVirtioInput() {
		return nil
	}
	for _, d := range []struct {
		class input.Class
		name  string
		leds  func(input.LEDs)
	}{{input.Keyboard, "keyboard", b.m.input.SetLEDs}, {input.Tablet, "tablet", nil}} {
		dev := virtioinput.New(d.class, d.leds)
		if err := b.plug(d.name, dev); err != nil {
			return err
		}
		b.attachInput(d.class, dev)
	}
	return nil
}

func (b *board) attachInput(class input.Class, s input.Sink) {
	b.closers = append(b.closers, closeFunc(b.m.input.Attach(class, s)))
}

// wantsVirtioInput decides for a machine that does not say: a guest whose system has no driver would show unknown devices.
func (b *board) wantsVirtioInput() bool {
	switch cfg := b.m.cfg; cfg.Input.Model {
	case config.InputVirtio:
		return true
	case config.InputNone:
		return false
	default:
		return b.hasScreen() && !config.IsWindows(cfg.GuestOS)
	}
}

// hasScreen says whether anybody can see what is typed.
func (b *board) hasScreen() bool { return len(b.m.screens) > 0 }
