package serial

import (
	"io"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/irq"
)

// Size is how many I/O ports the UART takes.
const Size = 8

// Registers, as offsets. The divisor latch takes the place of the first two while DLAB is set.
const (
	regData    = 0 // RBR, THR; DLL
	regIER     = 1 // DLM
	regIIR     = 2 // FCR when written
	regLCR     = 3
	regMCR     = 4
	regLSR     = 5
	regMSR     = 6
	regScratch = 7
)

// Bits of registers.
const (
	ierReceive  = 1 << 0
	ierTransmit = 1 << 1
	ierLine     = 1 << 2
	ierModem    = 1 << 3
	ierAll      = 0x0F

	iirModem    = 0x00
	iirNone     = 0x01
	iirTransmit = 0x02
	iirReceive  = 0x04
	iirLine     = 0x06
	iirTimeout  = 0x0C
	iirFIFO     = 0xC0

	fcrEnable  = 1 << 0
	fcrClearRX = 1 << 1
	fcrClearTX = 1 << 2
	fcrKept    = 0xC9 // enable, DMA mode, trigger level

	lcrDLAB = 1 << 7

	mcrDTR  = 1 << 0
	mcrRTS  = 1 << 1
	mcrOut1 = 1 << 2
	mcrOut2 = 1 << 3 // gates the interrupt on a PC
	mcrLoop = 1 << 4
	mcrAll  = 0x1F

	lsrData     = 1 << 0
	lsrOverrun  = 1 << 1
	lsrTransmit = 1 << 5 // transmitter holding register empty
	lsrIdle     = 1 << 6 // transmitter empty

	msrCTS   = 1 << 4
	msrDSR   = 1 << 5
	msrRI    = 1 << 6
	msrDCD   = 1 << 7
	msrDelta = 0x0F
)

// fifoSize is the depth of either FIFO in bytes.
const fifoSize = 16

// triggers are the receive trigger levels that FCR's upper bits choose.
var triggers = [4]int{1, 4, 8, 14}

// Config is what a UART is connected to.
type Config struct {
	Line   irq.Line
	Output io.Writer // takes what the guest sends; nil drops it. Written to by one goroutine.
	Input  io.Reader // gives what the guest receives, up to its first error; nil for nothing
	// Log takes the panics of Output and Input, which then take and give nothing any more; nil is silent.
	Log *slog.Logger
}

// UART is a 16550A. It is a bus.Device of Size ports and a state.Device.
type UART struct {
	line irq.Line
	out  *output // nil without a writer
	in   *input  // nil without a reader

	mu       sync.Mutex
	ier      uint8
	fcr      uint8 // the bits of fcrKept
	lcr      uint8
	mcr      uint8
	scratch  uint8
	divisor  [2]uint8
	overrun  bool
	delta    uint8 // modem status bits that changed since they were read
	transmit bool  // the transmitter-empty interrupt is pending
	rx       [fifoSize]uint8
	rxHead   int
	rxLen    int
	high     bool // level of line
	paused   bool // line and receiver stay as they are
}

// New returns a UART after reset. Its goroutines end with Close.
func New(c Config) *UART {
	u := &UART{line: c.Line, divisor: [2]uint8{12, 0}}
	if c.Output != nil {
		u.out = newOutput(c.Output, u.transmitterReady)
		go u.out.run(c.Log)
	}
	if c.Input != nil {
		u.in = newInput(c.Input, u.receive)
		go u.in.run(c.Log)
	}
	return u
}

// Close writes out what the guest has sent, for a second at most, and ends the goroutines. A reader or writer that blocks keeps its
// goroutine until it returns: close it, or let it go. The line is left alone from then on, as its interrupt controller may be gone.
func (u *UART) Close() {
	u.mu.Lock()
	u.paused = true
	u.mu.Unlock()
	if u.in != nil {
		u.in.close()
	}
	if u.out != nil {
		u.out.close()
	}
}

// Lost is how many bytes of output were dropped because the writer did not take them for too long.
func (u *UART) Lost() uint64 {
	if u.out == nil {
		return 0
	}
	return u.out.lostBytes()
}

// Read implements bus.Device.
func (u *UART) Read(offset uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range p {
		p[i] = u.readRegister((offset + uint64(i)) % Size)
	}
	u.updateLine()
}

// Write implements bus.Device.
func (u *UART) Write(offset uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, v := range p {
		u.writeRegister((offset+uint64(i))%Size, v)
	}
	u.updateLine()
}

func (u *UART) readRegister(reg uint64) uint8 {
	latch := u.lcr&lcrDLAB != 0
	switch {
	case latch && reg <= regIER:
		return u.divisor[reg]
	case reg == regData:
		return u.take()
	case reg == regIER:
		return u.ier
	case reg == regIIR:
		cause := u.cause()
		if cause == iirTransmit {
			u.transmit = false
		}
		if u.fcr&fcrEnable != 0 {
			cause |= iirFIFO
		}
		return cause
	case reg == regLCR:
		return u.lcr
	case reg == regMCR:
		return u.mcr
	case reg == regLSR:
		return u.lineStatus()
	case reg == regMSR:
		v := u.modemLines() | u.delta
		u.delta = 0
		return v
	}
	return u.scratch
}

func (u *UART) writeRegister(reg uint64, v uint8) {
	latch := u.lcr&lcrDLAB != 0
	switch {
	case latch && reg <= regIER:
		u.divisor[reg] = v
	case reg == regData:
		u.send(v)
	case reg == regIER:
		// Enabling the transmit interrupt while there is nothing to send raises it at once.
		if v&^u.ier&ierTransmit != 0 && u.ready() {
			u.transmit = true
		}
		u.ier = v & ierAll
	case reg == regIIR:
		u.controlFIFO(v)
	case reg == regLCR:
		u.lcr = v
	case reg == regMCR:
		before := u.modemLines()
		u.mcr = v & mcrAll
		u.noteModem(before)
	case reg == regScratch:
		u.scratch = v
	}
}

func (u *UART) controlFIFO(v uint8) {
	if v&fcrEnable == 0 {
		v = 0 // the other bits count only with this one
	}
	if (v^u.fcr)&fcrEnable != 0 || v&fcrClearRX != 0 {
		u.rxHead, u.rxLen, u.overrun = 0, 0, false
	}
	// What was sent is on its way out already, so the transmitter's FIFO has nothing to clear.
	u.fcr = v & fcrKept
	u.refill()
}

// send transmits one byte.
func (u *UART) send(v uint8) {
	u.transmit = false
	switch {
	case u.mcr&mcrLoop != 0:
		u.store(v)
	case u.out != nil:
		u.put(v)
	}
	if u.ready() {
		u.transmit = true
	}
}

// put hands a byte to the writer without the lock, since that may wait. The caller holds the lock again even after a panic: to give
// back one that is not held would end the process.
func (u *UART) put(v uint8) {
	u.mu.Unlock()
	defer u.mu.Lock()
	u.out.put(v)
}

// ready says whether the transmitter takes another byte.
func (u *UART) ready() bool { return u.mcr&mcrLoop != 0 || u.out == nil || u.out.ready() }

// transmitterReady is called when the ring has room again after it had none.
func (u *UART) transmitterReady() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.transmit = true
	u.updateLine()
}

// capacity is how many bytes the receiver holds.
func (u *UART) capacity() int {
	if u.fcr&fcrEnable != 0 {
		return fifoSize
	}
	return 1
}

// store puts a byte into the receiver, which overruns when it is full.
func (u *UART) store(v uint8) {
	if u.rxLen >= u.capacity() {
		u.overrun = true
		return
	}
	u.rx[(u.rxHead+u.rxLen)%fifoSize] = v
	u.rxLen++
}

// take returns the oldest received byte and lets the next one in.
func (u *UART) take() uint8 {
	if u.rxLen == 0 {
		return 0
	}
	v := u.rx[u.rxHead]
	u.rxHead = (u.rxHead + 1) % fifoSize
	u.rxLen--
	u.refill()
	return v
}

// refill moves input into the receiver as far as there is room.
func (u *UART) refill() {
	if u.in == nil || u.paused || u.mcr&mcrLoop != 0 {
		return
	}
	for u.rxLen < u.capacity() {
		v, ok := u.in.get()
		if !ok {
			return
		}
		u.store(v)
	}
}

// receive is called when there is new input.
func (u *UART) receive() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.refill()
	u.updateLine()
}

func (u *UART) lineStatus() uint8 {
	var v uint8
	if u.rxLen > 0 {
		v |= lsrData
	}
	if u.overrun {
		v |= lsrOverrun
		u.overrun = false
	}
	if u.ready() {
		v |= lsrTransmit | lsrIdle
	}
	return v
}

// modemLines is the upper half of the modem status: a peer that is always there or, in loopback, our own outputs.
func (u *UART) modemLines() uint8 {
	if u.mcr&mcrLoop == 0 {
		return msrCTS | msrDSR | msrDCD
	}
	var v uint8
	for _, wire := range [...]struct{ out, in uint8 }{{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOut1, msrRI}, {mcrOut2, msrDCD}} {
		if u.mcr&wire.out != 0 {
			v |= wire.in
		}
	}
	return v
}

// noteModem records what changed in the modem lines. For the ring indicator only its trailing edge counts.
func (u *UART) noteModem(before uint8) {
	now := u.modemLines()
	changed := before ^ now
	if now&msrRI != 0 {
		changed &^= msrRI
	}
	u.delta |= changed >> 4
	u.refill()
}

// cause is the interrupt identification: the most urgent condition that is pending and enabled.
func (u *UART) cause() uint8 {
	switch {
	case u.ier&ierLine != 0 && u.overrun:
		return iirLine
	case u.ier&ierReceive != 0 && u.rxLen > 0:
		if u.fcr&fcrEnable != 0 && u.rxLen < triggers[u.fcr>>6] {
			return iirTimeout // whatever has not come by now is not on the line
		}
		return iirReceive
	case u.ier&ierTransmit != 0 && u.transmit:
		return iirTransmit
	case u.ier&ierModem != 0 && u.delta != 0:
		return iirModem
	}
	return iirNone
}

func (u *UART) updateLine() {
	if u.paused {
		return
	}
	high := u.cause() != iirNone && u.mcr&(mcrOut2|mcrLoop) == mcrOut2
	if high != u.high {
		u.high = high
		u.line.SetLevel(high)
	}
}
