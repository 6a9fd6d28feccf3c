package terminal

// Escape is the key that begins a command to the monitor: Ctrl-], as with telnet and virsh.
const Escape = 0x1d

const ctrlC = 0x03

// Command is what the user told the monitor, rather than the guest, with a key.
type Command int

// The commands and their keys after Escape.
const (
	Interrupt Command = iota // Ctrl-C without Escape, unless it is the guest's
	Button                   // p
	PowerOff                 // q
	Reset                    // r
	Times                    // t
	Detach                   // d or q, at a console that one has attached to
	Help                     // ? and any other key
)

// HelpText explains the keys.
const HelpText = `Ctrl-] then  p  press the power button      q  power off at once
             r  reset                       t  show the boot timeline
             c  send Ctrl-C to the guest    Ctrl-]  send Ctrl-] to the guest
Ctrl-C presses the power button, a second one powers off.
`

// AttachedHelp explains them at a console that one has attached to.
const AttachedHelp = `Ctrl-] then  d  detach: the machine runs on  p  press the power button
             r  reset                        Ctrl-]  send Ctrl-] to the guest
`

// Keys separates what a user types into the guest's input and commands. The zero value takes Ctrl-C as a command.
type Keys struct {
	// GuestInterrupt leaves Ctrl-C to the guest.
	GuestInterrupt bool
	// Attached is for a console that one has attached to, and leaves again.
	Attached bool
	escaped  bool
}

// Filter returns what of p is for the guest, in the same memory, and calls do for each command.
func (k *Keys) Filter(p []byte, do func(Command)) []byte {
	out := p[:0]
	for _, b := range p {
		if !k.escaped {
			switch {
			case b == Escape:
				k.escaped = true
			case b == ctrlC && !k.GuestInterrupt:
				do(Interrupt)
			default:
				out = append(out, b)
			}
			continue
		}
		k.escaped = false
		switch b {
		case Escape:
			out = append(out, Escape)
		case 'c', ctrlC:
			out = append(out, ctrlC)
		default:
			do(k.command(b))
		}
	}
	return out
}

// command is what a key behind Escape stands for.
func (k *Keys) command(b byte) Command {
	switch {
	case b == 'p':
		return Button
	case b == 'r':
		return Reset
	case k.Attached && (b == 'd' || b == 'q' || b == 'x'): // who is used to q does not expect the power to go
		return Detach
	case !k.Attached && (b == 'q' || b == 'x'):
		return PowerOff
	case !k.Attached && b == 't':
		return Times
	}
	return Help
}
