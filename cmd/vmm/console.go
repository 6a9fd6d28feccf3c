package main

import (
	"io"
	"strings"
	"sync"

	"github.com/sharevm/vmm/internal/terminal"
	"github.com/sharevm/vmm/machine"
)

// consoleUI carries out what the user tells the monitor from the machine's console.
type consoleUI struct {
	machine        *machine.Machine
	messages       io.Writer // to the user; it does not block
	timeline       *machine.Timeline
	guestInterrupt bool
	raw            bool   // the terminal is in raw mode
	powerOff       func() // ends the machine, also while it is starting

	mu      sync.Mutex
	pressed bool // the power button, by Ctrl-C
	shown   bool // the timeline, because the guest was ready
}

// pump passes what the user types to the guest, and keys for the monitor to do.
func (u *consoleUI) pump(in io.Reader, guest io.WriteCloser) {
	keys := terminal.Keys{GuestInterrupt: u.guestInterrupt}
	if u.raw {
		guest = newTypeahead(guest)
	}
	buf := make([]byte, 512)
	for {
		n, err := in.Read(buf)
		p := buf[:n]
		if u.raw {
			p = keys.Filter(p, u.do)
		}
		if len(p) > 0 {
			if _, err := guest.Write(p); err != nil {
				return
			}
		}
		if err != nil {
			_ = guest.Close()
			return
		}
	}
}

func (u *consoleUI) do(c terminal.Command) {
	switch c {
	case terminal.Interrupt:
		u.mu.Lock()
		again := u.pressed
		u.pressed = true
		u.mu.Unlock()
		if again {
			u.say("powering off")
			u.powerOff()
			return
		}
		u.press("; Ctrl-C again powers off at once, Ctrl-] ? lists the keys")
	case terminal.Button:
		u.press("")
	case terminal.PowerOff:
		u.powerOff()
	case terminal.Reset:
		u.machine.Reset()
	case terminal.Times:
		u.print("\n" + u.times())
	case terminal.Help:
		u.print("\n" + terminal.HelpText)
	}
}

func (u *consoleUI) press(hint string) {
	if u.machine.PowerButton() {
		u.say("power button pressed" + hint)
	} else {
		u.say("power button pressed, but the guest does not listen to it (yet)" + hint)
	}
}

func (u *consoleUI) times() string {
	var b strings.Builder
	u.timeline.WriteText(&b)
	return b.String()
}

// showTimeline prints the timeline when the guest is ready.
func (u *consoleUI) showTimeline() {
	u.mu.Lock()
	u.shown = true
	u.mu.Unlock()
	u.print(u.times())
}

// timesShown says whether showTimeline has been called.
func (u *consoleUI) timesShown() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shown
}

func (u *consoleUI) say(s string) { u.print("\nvmm: " + s + "\n") }

// print writes text of the monitor's own between the guest's.
func (u *consoleUI) print(s string) {
	if u.raw {
		s = strings.ReplaceAll(s, "\n", "\r\n")
	}
	_, _ = io.WriteString(u.messages, s)
}
