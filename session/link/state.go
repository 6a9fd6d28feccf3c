package link

// State is how a machine is.
type State uint8

// The states of a machine.
const (
	Starting State = iota
	Ready          // the guest has said so, or its picture has settled
	Suspended
	Gone // its process has ended
	states
)

// String names the state for people.
func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case Ready:
		return "ready"
	case Suspended:
		return "suspended"
	}
	return "stopped"
}

// Power is what a session wants of a machine's power.
type Power uint8

// What can be wanted.
const (
	PressButton Power = iota
	TakeAway
	Reset
	powers
)
