package nvme

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

// Log pages (section 5.14.1).
const (
	logErrors   = 0x01
	logSMART    = 0x02
	logFirmware = 0x03

	errorEntries   = 16
	errorEntrySize = 64
	smartSize      = 512
	firmwareSize   = 512
)

// firmwareRevision is what the only slot holds.
const firmwareRevision = "1.0     "

// faultInterval is how often at most an image's failures are logged for the host's user. A guest repeats what failed.
const faultInterval = 10 * time.Second

// errorLog is the Error Information log: the last failures of images.
type errorLog struct {
	mu      sync.Mutex
	count   uint64                   // of all failures
	entries [errorEntries]errorEntry // failure n is at (n-1) mod errorEntries
	logged  time.Time                // when the host's user was told last
	untold  int
}

type errorEntry struct {
	queue, command uint16
	status         status
	block          uint64
	namespace      uint32
}

// image notes that the image failed r with err.
func (l *errorLog) image(r *request, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := errorEntry{queue: r.queue.id, command: r.id, status: r.status, namespace: allNamespaces}
	if r.ns != nil {
		e.block, e.namespace = uint64(r.offset)>>r.ns.shift, r.ns.ID
	}
	l.entries[l.count%errorEntries] = e
	l.count++
	l.untold++
	if now := time.Now(); now.Sub(l.logged) >= faultInterval {
		r.queue.dev.log.Error("disk request failed; the guest sees an I/O error", "namespace", e.namespace, "opcode", r.opcode,
			"offset", r.offset, "bytes", r.length, "failures", l.untold, "error", err)
		l.logged, l.untold = now, 0
	}
}

func (l *errorLog) total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// page lays out the log, the newest first.
func (l *errorLog) page() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := make([]byte, errorEntries*errorEntrySize)
	le := binary.LittleEndian
	for i := range min(l.count, errorEntries) {
		n := l.count - i
		e, b := &l.entries[(n-1)%errorEntries], p[i*errorEntrySize:]
		le.PutUint64(b[0:], n)
		le.PutUint16(b[8:], e.queue)
		le.PutUint16(b[10:], e.command)
		le.PutUint16(b[12:], uint16(e.status)<<1)
		le.PutUint16(b[14:], 0xffff) // not the fault of a parameter
		le.PutUint64(b[16:], e.block)
		le.PutUint32(b[24:], e.namespace)
	}
	return p
}

// smart counts what the SMART log tells.
type smart struct{ reads, writes, bytesRead, bytesWritten atomic.Uint64 }

func (s *smart) count(r *request) {
	switch {
	case r.status != success:
	case r.opcode == ioRead:
		s.reads.Add(1)
		s.bytesRead.Add(uint64(r.length))
	case r.opcode == ioWrite:
		s.writes.Add(1)
		s.bytesWritten.Add(uint64(r.length))
	}
}

// smartPage lays out the SMART / Health Information log (section 5.14.1.2) of a disk that is in the best of health.
func (d *Controller) smartPage() []byte {
	p := make([]byte, smartSize)
	le := binary.LittleEndian
	le.PutUint16(p[1:], temperature)
	p[3], p[4] = 100, 10                                                    // spare that is left, and threshold, in percent
	units := func(bytes uint64) uint64 { return (bytes + 511999) / 512000 } // thousands of 512 bytes
	le.PutUint64(p[32:], units(d.smart.bytesRead.Load()))
	le.PutUint64(p[48:], units(d.smart.bytesWritten.Load()))
	le.PutUint64(p[64:], d.smart.reads.Load())
	le.PutUint64(p[80:], d.smart.writes.Load())
	p[112] = 1 // power cycles
	le.PutUint64(p[160:], d.errors.total())
	le.PutUint64(p[176:], d.errors.total())
	return p
}

func firmwarePage() []byte {
	p := make([]byte, firmwareSize)
	p[0] = 1 // slot 1 is active
	copy(p[8:16], firmwareRevision)
	return p
}

// getLogPage carries out Get Log Page (section 5.14).
func (d *Controller) getLogPage(c *command, to *pages) status {
	const retain = 1 << 15
	var page []byte
	switch c.dw[10] & 0xff {
	case logErrors:
		page = d.errors.page()
	case logSMART:
		page = d.smartPage()
	case logFirmware:
		page = firmwarePage()
	default:
		return invalidLogPage
	}
	length := (uint64(c.dw[10]>>16|c.dw[11]<<16) + 1) * 4
	offset := uint64(c.dw[12]) | uint64(c.dw[13])<<32
	if offset%4 != 0 || offset > uint64(len(page)) || length > maxTransfer {
		return invalidField
	}
	if s := to.collect(c.prp1, c.prp2, int(length)); s != success {
		return s
	}
	to.store(page[offset:])
	if c.dw[10]&0xff == logErrors && c.dw[10]&retain == 0 {
		d.events.read()
	}
	return success
}
