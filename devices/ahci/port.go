package ahci

import (
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/internal/pace"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/vmm/memory"
)

// port is a port with its drive.
type port struct {
	host   *Controller
	name   string
	index  int
	mem    *memory.Guest
	drive  ata.Device // nil for none
	log    *slog.Logger
	pace   pace.Pace
	waiter *throttle.Waiter

	mu   sync.Mutex
	wake sync.Cond // the executors'

	list, received uint64 // CLB, FB
	status         uint32 // PxIS but for intConnect and intPhy
	enable         uint32
	command        uint32
	task           ata.Result // PxTFD
	signature      uint32
	link           uint32 // PxSSTS
	control        uint32 // PxSCTL
	errors         uint32 // PxSERR
	active, issue  uint32 // PxSACT, PxCI

	slots    [Slots]*slot // made as they are needed
	flying   int          // commands under way
	busy     uint32       // their slots
	only     uint32       // the command under way that is not queued, as a bit
	epoch    uint32       // counts what makes commands under way pointless
	halted   bool         // by an error, until ST is cleared
	softly   bool         // SRST is set
	relink   bool         // the link comes up as soon as nothing is under way
	isReset  bool         // the adapter waits for that
	greeting bool         // the signature has not reached guest memory yet
	last     int          // the slot that was begun last

	executors, idle int
	paused          bool
	done            sync.WaitGroup
}

// maxExecutors is how many commands of a port are carried out at the same time.
const maxExecutors = 8

func newPort(k *Controller, name string, index int, mem *memory.Guest, d ata.Device, log *slog.Logger) *port {
	p := &port{host: k, name: name, index: index, mem: mem, drive: d, log: log}
	p.wake.L = &p.mu
	p.waiter = throttle.NewWaiter(nil, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wake.Signal()
	})
	p.powerOn()
	p.connect()
	return p
}

// powerOn gives the registers their first values.
func (p *port) powerOn() {
	p.list, p.received, p.status, p.enable, p.control, p.errors = 0, 0, 0, 0, 0, 0
	p.active, p.issue, p.last = 0, 0, 0
	p.command = cmdAlways
	p.halted, p.softly = false, false
	p.disconnect(0)
}

// disconnect takes the link down.
func (p *port) disconnect(link uint32) {
	p.link, p.signature = link, signatureNone
	p.task = ata.Result{Status: taskNone}
	p.relink, p.greeting = false, false
}

// connect brings the link up, if anybody is there: the drive is reset and sends its signature.
func (p *port) connect() {
	p.relink = false
	if p.drive != nil {
		p.link = linkUp
		p.errors |= errorExchanged | errorPhyChanged
		p.greet(p.drive.Reset(false))
	}
	if p.isReset {
		p.isReset = false
		p.host.portIsBack()
	}
}

// greet takes a drive's signature.
func (p *port) greet(r ata.Result) {
	p.task = r
	p.signature = uint32(r.LBA)<<8 | uint32(r.Count)
	p.greeting = true
	p.sendGreeting()
}

// sendGreeting stores the signature in guest memory once the port receives.
func (p *port) sendGreeting() {
	if p.greeting && p.command&cmdReceive != 0 {
		p.greeting = false
		p.sendRegister(p.task, false)
	}
}

// forget makes what is under way pointless.
func (p *port) forget() {
	p.epoch++
	p.active, p.issue, p.halted = 0, 0, false
	p.settle()
}

// settle does what has been waiting for the end of what is under way.
func (p *port) settle() {
	if p.flying > 0 {
		return
	}
	if p.command&cmdStart == 0 {
		p.command &^= cmdRunning
	}
	if p.relink {
		p.connect()
		p.tell()
	}
}

// pending is PxIS.
func (p *port) pending() uint32 {
	v := p.status
	if p.errors&errorExchanged != 0 {
		v |= intConnect
	}
	if p.errors&errorPhyChanged != 0 {
		v |= intPhy
	}
	return v
}

// tell passes on what is pending and enabled.
func (p *port) tell() { p.host.raise(p.index, p.pending()&p.enable != 0) }

func (p *port) repeat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell()
}

func (p *port) hostReset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.powerOn()
	p.isReset, p.relink = true, true
	p.forget()
}

func (p *port) read(reg int) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch reg {
	case portCommandList:
		return uint32(p.list)
	case portCommandListHigh:
		return uint32(p.list >> 32)
	case portFIS:
		return uint32(p.received)
	case portFISHigh:
		return uint32(p.received >> 32)
	case portStatus:
		return p.pending()
	case portEnable:
		return p.enable
	case portCommand:
		return p.command
	case portTask:
		return uint32(p.task.Error)<<8 | uint32(p.taskStatus())
	case portSignature:
		return p.signature
	case portLink:
		return p.link
	case portControl:
		return p.control
	case portError:
		return p.errors
	case portActive:
		return p.active
	case portIssue:
		return p.issue
	}
	return 0
}

// taskStatus is the status in PxTFD: busy while a command that is not queued is under way.
func (p *port) taskStatus() uint8 {
	if p.only != 0 || p.softly || p.relink {
		return ata.StatusBusy | p.task.Status
	}
	return p.task.Status
}

func (p *port) write(reg int, v uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch reg {
	case portCommandList:
		p.list = p.list>>32<<32 | uint64(v&^0x3ff)
	case portCommandListHigh:
		p.list = uint64(v)<<32 | uint64(uint32(p.list))
	case portFIS:
		p.received = p.received>>32<<32 | uint64(v&^0xff)
	case portFISHigh:
		p.received = uint64(v)<<32 | uint64(uint32(p.received))
	case portStatus:
		p.status &^= v
		p.tell()
	case portEnable:
		p.enable = v & intAll
		p.tell()
	case portCommand:
		p.writeCommand(v)
	case portControl:
		p.writeControl(v)
	case portError:
		p.errors &^= v
	case portActive:
		if p.command&cmdStart != 0 {
			p.active |= v
		}
	case portIssue:
		if p.command&cmdStart != 0 {
			p.issue |= v
			p.rouse()
		}
	}
}

// writeCommand is a write to PxCMD.
func (p *port) writeCommand(v uint32) {
	was := p.command
	p.command = was&cmdHardwareIs | v&cmdWritable | cmdAlways
	if v&cmdReceive != 0 {
		p.command |= cmdReceiving
		p.sendGreeting()
	} else {
		p.command &^= cmdReceiving
	}
	if v&cmdOverride != 0 && was&cmdStart == 0 {
		p.task.Status &^= ata.StatusBusy | ata.StatusRequest
	}
	switch {
	case v&cmdStart != 0:
		p.command |= cmdRunning
		if was&cmdStart == 0 {
			p.command &^= 31 << cmdSlotShift
			p.last = Slots - 1
		}
	case was&cmdStart != 0:
		p.forget()
	}
}

// writeControl is a write to PxSCTL.
func (p *port) writeControl(v uint32) {
	was := p.control & detMask
	p.control = v & 0xfff
	switch det := v & detMask; {
	case det == was:
	case det == detReset || det == detOffline:
		link := uint32(0)
		if det == detOffline {
			link = linkOff
		}
		p.disconnect(link)
		p.softly = false
		p.epoch++ // what is under way ends unseen; the registers keep what was issued
		p.settle()
	case det == 0:
		p.relink = true
		p.settle()
	}
}
