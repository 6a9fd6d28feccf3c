package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// hostile (SECONDS:SEED) takes the machine's virtio devices from their drivers and does to them, and to ports and configuration space, what no
// driver would, for so long. What it spares is what would only harm the guest itself: the device writes nowhere but into a window of
// our own, interrupts go to a processor that is not there, and no port that resets the machine or switches it off is written. Then it
// gives the devices back to their drivers, with which tasks that come later must find them in order.
func hostile(args string) error {
	seconds, seed, _ := strings.Cut(args, ":")
	n, err := strconv.ParseUint(seconds, 10, 32)
	if err != nil {
		return err
	}
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the right to use ports belongs to the thread
	defer runtime.UnlockOSThread()
	if err := unix.Iopl(3); err != nil {
		return fmt.Errorf("right to use ports: %w", err)
	}
	a := &attack{rng: rand.New(rand.NewPCG(s, 0))}
	if a.window, a.base, err = contiguous(); err != nil {
		return fmt.Errorf("memory at a known address: %w", err)
	}
	victims, err := takeDevices()
	if err != nil {
		return err
	}
	a.victims = victims
	say("hostile: %d devices, seed %d", len(victims), s)
	a.run(time.Now().Add(time.Duration(n) * time.Second))
	quiet() // what the storm has left in the serial port
	// A line of its own, behind what the console was made to print.
	say("\nhostile: %d actions, %d activations, %d refused, %d wanted a reset", a.actions, a.activations, a.refused, a.broken)
	for _, v := range victims {
		if err := v.giveBack(); err != nil {
			return err
		}
	}
	if a.activations == 0 {
		return errors.New("no device could be activated")
	}
	return nil
}

// attack is the state of the attacker.
type attack struct {
	rng     *rand.Rand
	victims []*victim
	window  []byte // RAM for rings and buffers
	base    uint64 // its physical address

	actions, activations, refused, broken int
}

func (a *attack) run(until time.Time) {
	// A second processor rewrites rings and buffers all the time.
	stop := make(chan struct{})
	var racer sync.WaitGroup
	racer.Go(func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			for range 256 {
				at := rng.IntN(len(a.window) - framesRoom)
				old := a.window[at]
				a.window[at] = disturbed(at, old, byte(rng.Uint32()))
				if rng.IntN(8) > 0 {
					a.window[at] = old
				}
			}
			time.Sleep(time.Millisecond)
		}
	})
	for ; time.Now().Before(until); a.actions++ {
		v := a.victims[a.rng.IntN(len(a.victims))]
		switch a.rng.IntN(16) {
		case 0, 1, 2:
			a.activate(v)
		case 3, 4, 5, 6, 7, 8:
			a.submit(v)
		case 9:
			a.registers(v)
		case 10:
			v.store(common+statusReg, 1, 0) // with requests under way
		case 11:
			a.vectors(v)
		case 12:
			a.configSpace(v)
		case 13, 14:
			a.ports()
		case 15:
			for range 64 {
				a.kick(v)
			}
		}
		if v.load(common+statusReg, 1)&needsReset != 0 {
			a.broken++
			a.activate(v)
		}
	}
	close(stop)
	racer.Wait()
	for _, v := range a.victims {
		v.store(common+statusReg, 1, 0)
	}
}

// wild is a number of any magnitude.
func (a *attack) wild() uint64 { return a.rng.Uint64() >> a.rng.IntN(64) }

func (a *attack) width() int { return 1 << a.rng.IntN(4) }

// activate goes through a driver's start, mostly as it should.
func (a *attack) activate(v *victim) {
	v.restore()
	v.store(common+statusReg, 1, 0)
	v.store(common+statusReg, 1, 1)
	v.store(common+statusReg, 1, 3)
	var offered [2]uint64
	for i := range offered {
		v.store(common, 4, uint64(i))
		offered[i] = v.load(common+4, 4)
		f := offered[i]
		if a.rng.IntN(4) == 0 {
			f &= uint64(a.rng.Uint32()) // some of them
		}
		if i == 1 {
			f |= 1 // VERSION_1
		}
		if a.rng.IntN(32) == 0 {
			f ^= 1 << a.rng.IntN(32) // one that is not to be had
		}
		v.store(common+8, 4, uint64(i))
		v.store(common+0xc, 4, f)
	}
	v.store(common+statusReg, 1, 0xb)
	if v.load(common+statusReg, 1)&8 == 0 {
		a.refused++
		return
	}
	for q := range v.queues {
		if a.rng.IntN(24) == 0 {
			continue
		}
		a.queue(v, q)
	}
	v.store(common+statusReg, 1, 0xf)
	if s := v.load(common+statusReg, 1); s&4 != 0 && s&needsReset == 0 {
		a.activations++
	}
}

// queue sets a queue up: mostly over its own three pages of the window.
func (a *attack) queue(v *victim, q int) {
	v.store(common+0x16, 2, uint64(q))
	r := &v.rings[q%maxRings]
	r.size = min(1<<a.rng.IntN(9), max(int(v.load(common+0x18, 2)), 1))
	r.page = a.rng.IntN(len(a.window)/pageSize/2-3) * pageSize
	r.idx = 0
	clear(a.window[r.page : r.page+3*pageSize])
	desc, avail, used := a.base+uint64(r.page), a.base+uint64(r.page)+pageSize, a.base+uint64(r.page)+2*pageSize
	switch a.rng.IntN(24) {
	case 0:
		desc = a.outside()
	case 1:
		used = a.outside()
	case 2:
		avail = used
	}
	v.store(common+0x18, 2, uint64(r.size))
	v.store(common+0x1a, 2, uint64(a.rng.IntN(8)))
	v.store(common+0x20, 8, desc)
	v.store(common+0x28, 8, avail)
	v.store(common+0x30, 8, used)
	v.store(common+0x1c, 2, 1)
}

// outside is an address that is not RAM, nor anything that a device may be allowed to reach.
func (a *attack) outside() uint64 {
	return [...]uint64{0xb000_0000, 0xfee0_0000, 0xffff_ffff, 1 << 40, 1<<52 - 8, 1 << 63, ^uint64(0), ^uint64(4095)}[a.rng.IntN(8)]
}

// framesRoom is what the end of the window keeps for lists of frames, which nothing else writes to: a balloon that reads other numbers there takes away
// pages of the guest's kernel, which is then the one that fails.
const framesRoom = 64 << 10

// inside is an address in the window, the rings included now and then. Two pages from there on are in the window, too.
func (a *attack) inside() uint64 {
	half, end := len(a.window)/2, len(a.window)-framesRoom-2*pageSize
	if a.rng.IntN(16) == 0 {
		return a.base + uint64(a.rng.IntN(end))
	}
	return a.base + uint64(half+a.rng.IntN(end-half))
}

// frames is an address in the room for lists of frames.
func (a *attack) frames() uint64 {
	return a.base + uint64(len(a.window)-framesRoom+framesLen*a.rng.IntN(framesRoom/framesLen))
}

// balloonKind is the device type of a balloon (section 5).
const balloonKind = 5

// framesLen is the length of a list of frames, in bytes.
const framesLen = 64

// disturbed is what the byte at a place of the window becomes. Where that may be part of a descriptor, it still names memory of the window, or none at all:
// the window is as long as it is aligned (21 bits), RAM ends below 4 GiB, and a length of 2 GiB fits in nowhere.
func disturbed(at int, old, b byte) byte {
	switch at % 16 {
	case 2:
		return old&^0x1f | b&0x1f
	case 3, 9, 10:
		return old
	case 11:
		return b | 0x80
	}
	return b
}

// submit makes chains available, good and bad ones, and mostly kicks.
func (a *attack) submit(v *victim) {
	q := a.rng.IntN(max(v.queues, 1))
	r := &v.rings[q%maxRings]
	if r.size == 0 {
		return
	}
	le := binary.LittleEndian
	for range 1 + a.rng.IntN(8) {
		head := a.rng.IntN(r.size)
		links := 1 + a.rng.IntN(4)
		for i := range links {
			addr, n, flags, next := a.inside(), uint32(1+a.rng.IntN(2*pageSize)), uint16(0), (head+i+1)%r.size
			switch {
			case v.kind == balloonKind && a.rng.IntN(2) == 0:
				addr = a.frames()
				n = uint32(a.header(v, a.window[addr-a.base:]))
			case v.kind == balloonKind:
				flags = 2
			case i == 0 && a.rng.IntN(4) > 0: // a header of the device's kind
				n = uint32(a.header(v, a.window[addr-a.base:]))
			case i == links-1 && a.rng.IntN(2) == 0:
				n, flags = 1, 2
			case a.rng.IntN(2) == 0:
				flags = 2
			}
			switch a.rng.IntN(48) {
			case 0:
				addr = a.outside()
			case 1:
				n = uint32(a.wild())
				addr = a.outside() // or the length would reach memory that is not ours
			case 2:
				if v.kind != balloonKind {
					flags ^= uint16(1 << a.rng.IntN(4))
				}
			case 3:
				next = int(a.wild()) & 0xffff
			}
			if i < links-1 {
				flags |= 1
			}
			if v.kind == balloonKind {
				flags &^= 4
			}
			if flags&4 != 0 { // an indirect table, of whatever lies there behind its beginning
				addr &^= 15
				n = uint32(16 * a.rng.IntN(300))
				a.table(addr)
			}
			d := a.window[r.page+16*((head+i)%r.size):]
			le.PutUint64(d, addr)
			le.PutUint32(d[8:], n)
			le.PutUint16(d[12:], flags)
			le.PutUint16(d[14:], uint16(next))
		}
		avail := a.window[r.page+pageSize:]
		le.PutUint16(avail[4+2*(int(r.idx)%r.size):], uint16(head))
		r.idx++
		if a.rng.IntN(64) == 0 {
			r.idx += uint16(a.wild())
		}
		le.PutUint16(avail[2:], r.idx)
	}
	if a.rng.IntN(8) > 0 {
		v.store(notify+4*q, 2, uint64(q))
	}
}

// table puts descriptors that stay inside the window where an indirect table is said to be.
func (a *attack) table(addr uint64) {
	if addr < a.base || addr+16*16 > a.base+uint64(len(a.window)) {
		return
	}
	t := a.window[addr-a.base:]
	for i := range 16 {
		binary.LittleEndian.PutUint64(t[16*i:], a.inside())
		binary.LittleEndian.PutUint32(t[16*i+8:], uint32(a.rng.IntN(2*pageSize)))
		binary.LittleEndian.PutUint16(t[16*i+12:], uint16(a.rng.IntN(8)))
		binary.LittleEndian.PutUint16(t[16*i+14:], uint16(i+1))
	}
}

// header writes what a request to the device begins with, and returns its length.
func (a *attack) header(v *victim, p []byte) int {
	le := binary.LittleEndian
	switch v.kind {
	case 1: // network: an offload header and the start of a frame
		for i := range 64 {
			p[i] = byte(a.wild())
		}
		le.PutUint16(p[12+12:], [...]uint16{0x0008, 0x0608, 0xdd86, 0x0081}[a.rng.IntN(4)])
		return 12 + 14 + a.rng.IntN(1500)
	case 2: // block
		le.PutUint32(p, [...]uint32{0, 1, 4, 8, 11, 13, 99}[a.rng.IntN(7)])
		le.PutUint64(p[8:], a.wild())
		return 16
	case 3: // console: a control message, or text
		le.PutUint32(p, uint32(a.rng.IntN(3)))
		le.PutUint16(p[4:], uint16(a.rng.IntN(9)))
		le.PutUint16(p[6:], uint16(a.rng.IntN(3)))
		return 8
	case balloonKind: // frames of our own, or of no RAM
		for i := range framesLen / 4 {
			pfn := uint32(a.inside() >> 12)
			if a.rng.IntN(4) == 0 {
				pfn |= 1 << 28
			}
			le.PutUint32(p[4*i:], pfn)
		}
		return framesLen
	}
	return 1 + a.rng.IntN(64)
}

// registers reads and writes anywhere in the BAR, but for the vectors' table.
func (a *attack) registers(v *victim) {
	for range 32 {
		off, w := a.rng.IntN(0x4000-8), a.width()
		if a.rng.IntN(2) == 0 {
			off %= 0x48 // the common configuration
		}
		if off < 0x40 && off+w > 0x20 && off < 0x38 {
			continue // the rings' addresses: a device told of other memory would write there
		}
		if v.load(off, w); a.rng.IntN(2) == 0 {
			v.store(off, w, a.wild())
		}
	}
}

// vectors scribbles on the MSI-X table. Whatever is sent goes to processor 0x7f.
func (a *attack) vectors(v *victim) {
	for range 16 {
		entry := table + 16*a.rng.IntN(16)
		v.store(entry, 4, 0xfee7_f000|uint64(a.rng.IntN(4)))
		v.store(entry+8, 4, uint64(a.rng.Uint32()))
		v.store(entry+12, 4, uint64(a.rng.IntN(2)))
		v.load(table+a.rng.IntN(0x2000-8), a.width())
	}
}

// configSpace scribbles on configuration space, the host bridge's too, and moves BARs about.
func (a *attack) configSpace(v *victim) {
	for range 16 {
		off, w := a.rng.IntN(256), 1<<a.rng.IntN(3)
		var b [8]byte
		v.config(off&^(w-1), b[:w])
		if off >= 0x10 && off < 0x14 || a.rng.IntN(4) == 0 {
			binary.LittleEndian.PutUint32(b[:], [...]uint32{0xc000_0000, 0xffff_ffff, 0xfec0_0000, 0xb000_0000, 0, 0xc010_0000}[a.rng.IntN(6)])
			v.setConfig(0x10, b[:4])
			continue
		}
		if off >= 0x14 && off < 0x18 { // doorbells that are ports may go where nothing is that the guest's kernel needs
			binary.LittleEndian.PutUint32(b[:], [...]uint32{0x3f8, 0xffff_ffff, 0x1000, 0xfff1, 0, 0x500}[a.rng.IntN(6)])
			v.setConfig(0x14, b[:4])
			continue
		}
		binary.LittleEndian.PutUint64(b[:], a.wild())
		v.setConfig(off&^(w-1), b[:w])
	}
	v.restore()
}

// portRanges are the ports of a storm: serial ports but for their data, clock, keyboard controller, power management's timer and events, marks.
var portRanges = [...][2]int{{0x3f9, 0x400}, {0x2f8, 0x300}, {0x70, 0x74}, {0x608, 0x680}, {0x6f0, 0x6f1}, {0x92, 0x93}, {0x60, 0x65}, {0x500, 0x540}}

func (a *attack) ports() {
	for range 64 {
		r := portRanges[a.rng.IntN(len(portRanges))]
		port, w, v := r[0]+a.rng.IntN(r[1]-r[0]), 1<<a.rng.IntN(3), uint32(a.wild())
		in(uint16(port), w)
		switch {
		case port == 0x92 || port >= 0x60 && port <= 0x64: // they can reset the machine, or lie beside what is not ours
			w, v = 1, v&0x3e|2
			if port == 0x64 {
				v = 0x20 + v%0x60
			}
			if port > 0x60 && port < 0x64 {
				continue
			}
		case port+w > r[1]:
			w = 1
		}
		out(uint16(port), w, v)
	}
	if a.rng.IntN(4) == 0 {
		quiet()
	}
}

// quiet sets the first serial port, on which this program speaks, as the kernel had it, and the second to rest.
func quiet() {
	for _, base := range [...]uint16{0x3f8, 0x2f8} {
		for _, r := range [...][2]uint32{{3, 0x80}, {0, 1}, {1, 0}, {3, 3}, {4, 0xb}, {2, 7}, {1, 5}} {
			out(base+uint16(r[0]), 1, r[1])
		}
	}
}

// kick rings a doorbell, one of those that are not there too.
func (a *attack) kick(v *victim) { v.store(notify+a.rng.IntN(64), a.width(), a.wild()) }
