package ide

import (
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// phase is what a channel is about.
type phase uint8

const (
	idle    phase = iota
	begin         // the worker: a command was written
	proceed       // the worker: the next part of the command
	dataIn        // the host: read the data port
	dataOut       // the host: write the data port
	packet        // the host: write the packet
	dmaWait       // the host: start the bus master
	lastPhase
)

// bufferSize is how much PIO moves between the host's blocks and the medium at once, in bytes. It holds the largest block: 16 sectors of 4 KiB.
const bufferSize = 64 << 10

// fifo is a register that keeps what it held before, for 48-bit addresses: the current value first.
type fifo [2]uint8

func (f *fifo) push(v uint8) { f[1], f[0] = f[0], v }

// registers are those of one drive. Writes go to both drives of a channel.
type registers struct {
	features, count fifo
	lba             [3]fifo // low, mid, high
	status, err     uint8
}

// Bits of the device control register.
const (
	controlNoInterrupt = 0x02 // nIEN
	controlReset       = 0x04 // SRST
	controlPrevious    = 0x80 // HOB
)

// channel is a cable with its registers.
type channel struct {
	name   string
	mem    *memory.Guest
	line   irq.Line
	drives [Drives]ata.Device
	log    *slog.Logger

	mu      sync.Mutex
	wake    sync.Cond // the worker's
	regs    [Drives]registers
	device  uint8
	control uint8
	intrq   bool
	phase   phase
	current int         // the drive that carries out cmd
	cmd     ata.Command // the worker's while it is busy
	reset   bool        // the drives are to be reset
	again   bool        // the current drive is, by DEVICE RESET

	buf      []byte // PIO data: made when first needed
	at, end  int    // what the host has moved, and what it has to
	blockEnd int    // where it is interrupted next

	master    master
	segments  ata.Segments
	working   bool // there is a worker
	busy      bool // it has let go of mu
	paused    bool
	abandoned bool // a reset has made cmd pointless
	done      sync.WaitGroup
	waiter    *throttle.Waiter
}

func newChannel(name string, mem *memory.Guest, line irq.Line, drives [Drives]ata.Device, log *slog.Logger) *channel {
	ch := &channel{name: name, mem: mem, line: line, drives: drives, log: log}
	ch.wake.L = &ch.mu
	ch.waiter = throttle.NewWaiter(nil, func() {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		ch.wake.Signal()
	})
	ch.resetDrives(false)
	return ch
}

// selected is the number of the drive that registers are read from.
func (ch *channel) selected() int { return int(ch.device & ata.DeviceSecond >> 4) }

// call gives the worker something to do. mu is held.
func (ch *channel) call(p phase) {
	ch.phase = p
	ch.rouse()
}

func (ch *channel) rouse() {
	if !ch.working && !ch.paused {
		ch.working = true
		ch.done.Go(ch.work)
	}
	ch.wake.Signal()
}

// interrupt sets INTRQ.
func (ch *channel) interrupt() {
	ch.intrq = true
	ch.master.status |= masterInterrupt
	ch.drive()
}

// calm takes INTRQ back.
func (ch *channel) calm() {
	ch.intrq = false
	ch.drive()
}

// drive makes the interrupt line follow.
func (ch *channel) drive() { ch.line.SetLevel(ch.intrq && ch.control&controlNoInterrupt == 0) }

// resetDrives is what follows a reset. No command is under way.
func (ch *channel) resetDrives(soft bool) {
	ch.phase, ch.abandoned, ch.reset, ch.again = idle, false, false, false
	ch.device = 0
	for i, d := range ch.drives {
		ch.regs[i] = registers{}
		if d != nil {
			ch.show(i, d.Reset(soft))
		}
	}
	ch.calm()
}

// show puts a result into drive i's registers.
func (ch *channel) show(i int, r ata.Result) {
	g := &ch.regs[i]
	g.status, g.err = r.Status, r.Error
	g.count = fifo{uint8(r.Count), uint8(r.Count >> 8)}
	for k := range g.lba {
		g.lba[k] = fifo{uint8(r.LBA >> (8 * k)), uint8(r.LBA >> (24 + 8*k))}
	}
}

// take makes a command of drive i's registers.
func (ch *channel) take(i int, opcode uint8) ata.Registers {
	g := &ch.regs[i]
	r := ata.Registers{
		Opcode: opcode, Device: ch.device,
		Features: uint16(g.features[0]) | uint16(g.features[1])<<8, Count: uint16(g.count[0]) | uint16(g.count[1])<<8,
	}
	for k := range g.lba {
		r.LBA |= uint64(g.lba[k][0])<<(8*k) | uint64(g.lba[k][1])<<(24+8*k)
	}
	return r
}

func (ch *channel) pause() {
	ch.mu.Lock()
	ch.paused = true
	ch.wake.Signal()
	ch.mu.Unlock()
	ch.done.Wait()
	ch.waiter.Stop()
}

func (ch *channel) resume() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.paused = false
	if ch.phase == begin || ch.phase == proceed || ch.reset || ch.again {
		ch.rouse()
	}
}
