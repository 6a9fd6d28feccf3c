package control

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/input"
)

// Machine is what a socket gives access to. Its methods may be called at any time and by several goroutines, and do not wait for the guest.
type Machine interface {
	// Status describes the machine as it is now. ID and PID are filled in by the server.
	Status() Status
	// Screenshot writes what a screen shows as a PNG. An error says why there is nothing to see.
	Screenshot(screen int, w io.Writer) error
	// SnapshotFiles are the names of the files that SaveSnapshot fills.
	SnapshotFiles() []string
	// SaveSnapshot saves the machine as it is to files of those names. It goes on afterwards, unless off is not nil and says yes when all is saved: then it
	// is powered off at that very point. children take the places of the disks that it writes to for good, all of them or none. Files that it goes on using it takes
	// out of files.
	SaveSnapshot(files map[string]*os.File, children []Child, off func() bool) error
	// Limits are those in force.
	Limits() config.Limits
	// SetLimits puts other limits in force. An error says what could not be limited.
	SetLimits(config.Limits) error

	// ConsoleText is what the guest printed last on its console, 64 KiB at most.
	ConsoleText() []byte
	// AttachConsole joins somebody to the guest's console: what it prints from now on goes to out, which must not block, behind what it printed last, if past is set.
	AttachConsole(out io.Writer, past bool) Console
	// Resize tells the guest the size of the terminal that shows its console, in characters.
	Resize(columns, rows uint16)
	// Log is the end of the machine's journal, whole lines of at most so many bytes together.
	Log(most int) ([]byte, error)

	// Press presses keys together, Type one after the other, and Point moves the pointer. They wait for the guest to take what is typed.
	Press(ctx context.Context, chord []input.Code) error
	Type(ctx context.Context, presses []input.Press) error
	Point(ctx context.Context, p Pointer) error
	// Stop presses the power button; hard takes the power away.
	Stop(hard bool) error
	// Restart resets the machine.
	Restart() error
	// SetPaused pauses the machine or lets it go on. It returns when that has happened.
	SetPaused(paused bool)
	// SetLink plugs the cable of network card ethernetN in, or pulls it out.
	SetLink(n int, up bool) error
}

// Console is somebody's place at a console. Write types, and errs when the guest takes nothing for long; Close leaves.
type Console interface {
	io.WriteCloser
}

// State is what a machine is doing.
type State string

// The states.
const (
	Running State = "running"
	Paused  State = "paused"
	Asleep  State = "asleep" // suspended to RAM by its guest: the power button wakes it
	Off     State = "off"    // not yet powered on, between two power cycles, or about to end
)

// Status describes a running machine.
type Status struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	File    string        `json:"file,omitempty"` // the .vmx
	PID     int           `json:"pid"`
	State   State         `json:"state"`
	Started time.Time     `json:"started"`
	Uptime  float64       `json:"uptime"` // seconds
	VCPUs   int           `json:"vcpus"`
	Exits   uint64        `json:"exits"`  // of all vCPUs in this power cycle
	Memory  int64         `json:"memory"` // bytes of the guest's RAM
	Disks   []Disk        `json:"disks"`
	NICs    []NIC         `json:"nics"`
	Limits  config.Limits `json:"limits"`
	CPU     CPU           `json:"cpu"`
}

// CPU says what the machine has used of processors, and how the limits on them are kept.
type CPU struct {
	Seconds float64 `json:"seconds"` // of all threads of its process
	Means   string  `json:"means"`   // "cgroup" or "nice"
	Why     string  `json:"why,omitempty"`
}

// Count is work done so far.
type Count struct {
	Operations int64 `json:"operations"` // requests or frames
	Bytes      int64 `json:"bytes"`
}

// Disk is a drive.
type Disk struct {
	Address  string `json:"address"`
	File     string `json:"file,omitempty"`
	Size     int64  `json:"size"` // bytes
	ReadOnly bool   `json:"readOnly"`
	Discards bool   `json:"discards"` // what the guest writes is thrown away at the end
	Reads    Count  `json:"reads"`
	Writes   Count  `json:"writes"` // flushes, discards and zeroes included
}

// NIC is a network card. What is refused and open is known for the user network alone.
type NIC struct {
	Name       string `json:"name"`
	MAC        string `json:"mac"`
	Connection string `json:"connection"`
	Plugged    bool   `json:"plugged"` // the cable is in
	ToGuest    Count  `json:"toGuest"`
	FromGuest  Count  `json:"fromGuest"`

	BadChecksums uint64 `json:"badChecksums"` // frames of the guest's that the user network dropped for a wrong checksum

	TCPOpen  int               `json:"tcpOpen"`
	UDPOpen  int               `json:"udpOpen"`
	Refused  map[string]uint64 `json:"refused"`  // by reason: host, lan, policy, name, limit
	Refusals []Refusal         `json:"refusals"` // the latest, oldest first
}

// Refusal is something that the firewall refused to the guest.
type Refusal struct {
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	Protocol string    `json:"protocol"`
	To       string    `json:"to"` // address and port, or the name that was asked for: hostile text
}

// TotalRefused is how much was refused by all cards.
func (s *Status) TotalRefused() (n uint64) {
	for _, c := range s.NICs {
		for _, count := range c.Refused {
			n += count
		}
	}
	return n
}
