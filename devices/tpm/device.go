package tpm

import (
	"encoding/binary"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/internal/guard"
)

const (
	// Size is how many bytes of memory the registers and the buffer take.
	Size = 0x1000
	// BufferSize is the size of the longest command and of the longest response, in bytes.
	BufferSize = Size - regBuffer
	// ControlArea is the offset of the registers that ACPI's table names.
	ControlArea = regRequest
)

// A Backend is a TPM.
type Backend interface {
	// Execute carries out a command, puts the response into response, which has room for BufferSize bytes, and returns its length. It may take minutes. After
	// an error the TPM is of no more use.
	Execute(command, response []byte) (int, error)
}

// Layout of commands and responses: tag, size of all (32 bits), command or response code (32 bits), big endian.
const (
	headerSize    = 10
	sizeOffset    = 2
	tagNoSessions = 0x8001
)

// Response codes.
const (
	rcFailure     = 0x101
	rcCommandSize = 0x142
	rcCanceled    = 0x909
)

// Config is how the TPM is wired into the board.
type Config struct {
	Backend Backend
	Base    uint32       // guest-physical address of the registers, which tell it
	Log     *slog.Logger // nil is silent
}

// Device is the TPM's interface. It is a bus.Device of Size bytes and a state.Device.
type Device struct {
	cfg    Config
	kick   chan struct{} // the worker has something to look at
	ended  chan struct{} // the worker has
	result []byte        // the worker's

	mu      sync.Mutex
	rest    sync.Cond // busy has become false
	granted bool      // locality 0 is in use
	idle    bool
	failed  bool // the backend is of no use
	cancel  bool
	busy    bool // the worker is in Execute
	paused  bool
	closed  bool
	// command is what has started and not completed; empty in all states but Execution.
	command []byte
	pending [BufferSize]byte // backs command
	buffer  [BufferSize]byte
}

// New returns a TPM as after power-on, whose backend is so too. Close ends it.
func New(c Config) *Device {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{cfg: c, kick: make(chan struct{}, 1), ended: make(chan struct{}), result: make([]byte, BufferSize), idle: true}
	d.rest.L = &d.mu
	go d.work()
	return d
}

// Close ends the device once the command that it carries out has completed. The backend is left alone.
func (d *Device) Close() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.wake()
	<-d.ended
	return nil
}

// wake has the worker look at what there is to do.
func (d *Device) wake() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// start begins the command in the buffer.
func (d *Device) start() {
	if len(d.command) != 0 {
		return
	}
	d.idle = false
	n := binary.BigEndian.Uint32(d.buffer[sizeOffset:])
	if n < headerSize || n > BufferSize {
		d.answer(rcCommandSize)
		return
	}
	d.command = d.pending[:copy(d.pending[:], d.buffer[:n])]
	d.wake()
}

// answer completes a command with nothing but a response code.
func (d *Device) answer(code uint32) {
	be := binary.BigEndian
	be.PutUint16(d.buffer[:], tagNoSessions)
	be.PutUint32(d.buffer[sizeOffset:], headerSize)
	be.PutUint32(d.buffer[sizeOffset+4:], code)
	d.command = nil
}

// abandon answers a command that the guest has cancelled before it began.
func (d *Device) abandon() {
	if len(d.command) != 0 && !d.busy {
		d.answer(rcCanceled)
	}
}

// work carries out commands, one after the other.
func (d *Device) work() {
	defer close(d.ended)
	for range d.kick {
		if !d.step() {
			return
		}
	}
}

// step carries out the command that has started, if there is one, and says whether there may be more.
func (d *Device) step() (more bool) {
	command := d.begin()
	if command == nil {
		return !d.isClosed()
	}
	n, err := d.execute(command)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy = false
	d.rest.Broadcast()
	switch {
	case err != nil:
		if !d.failed {
			d.cfg.Log.Error("the TPM has failed", "error", err)
		}
		d.failed = true
		d.answer(rcFailure)
	default:
		copy(d.buffer[:], d.result[:n])
		d.command = nil
	}
	return !d.closed
}

// begin takes the command that is to be carried out; nil for none.
func (d *Device) begin() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed || d.paused || len(d.command) == 0:
		return nil
	case d.failed:
		d.answer(rcFailure)
		return nil
	}
	d.busy = true
	return d.command
}

// execute has the backend carry out a command. A panic counts as its failure.
func (d *Device) execute(command []byte) (n int, err error) {
	err = errPanicked
	defer guard.Panic(d.cfg.Log, "TPM")
	n, err = d.cfg.Backend.Execute(command, d.result)
	if err == nil && (n < headerSize || n > BufferSize) {
		err = errResponse
	}
	return n, err
}

func (d *Device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}
