package scsi

import (
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/state"
)

// Unit is a logical unit: a [Disk] or a [CDROM].
type Unit interface {
	// Execute carries out c and sets its outcome. It may wait for the image; any number of goroutines may call it at once.
	Execute(c *Command)
	// Cost is what c asks of the image, for limits of rate.
	Cost(c *Command) Cost
	// Reset aborts nothing, but brings the unit's own settings back to power-on; the next command learns why.
	Reset(why Sense)
	// Save and Restore are those of state.Device, for the controller to call.
	Save(w *state.Writer)
	Restore(r *state.Reader) error
}

// Cost is what a command asks of an image.
type Cost struct {
	Kind  CostKind
	Bytes int64 // to move; zeroes count, since they may have to be written out
}

// CostKind says which limits a command is subject to.
type CostKind uint8

// The kinds of cost.
const (
	Free   CostKind = iota // the image is not asked
	Reads                  // data is read
	Writes                 // data is written, flushed or discarded
)

// Properties of an operation.
const (
	always = 1 << iota // is carried out although a unit attention is pending, and does not end it (SPC-4, section 5.14)
	medium             // needs a medium that is ready
)

// operation is how a unit of type U serves an operation code.
type operation[U any] struct {
	serve func(U, *Command)
	flags uint8
}

// unit is what all logical units have in common.
type unit struct {
	kind      uint8 // peripheral device type
	removable bool
	parallel  bool
	keepSense bool
	vendor    string
	product   string
	revision  string
	serial    string
	log       *slog.Logger

	mu        sync.Mutex
	attention Sense // pending because of a reset, or none
	changed   Sense // pending because of something else, or none
	last      Sense // of the last command, for REQUEST SENSE, with keepSense
}

// takeAttention returns what the initiator has to be told before anything else.
func (u *unit) takeAttention() (Sense, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range []*Sense{&u.attention, &u.changed} {
		if *s != senseNone {
			defer func() { *s = senseNone }()
			return *s, true
		}
	}
	return senseNone, false
}

func (u *unit) reset(why Sense) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.attention, u.last = why, senseNone
}

// change makes the next command report s.
func (u *unit) change(s Sense) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.changed = s
}

// keep remembers the sense of a command for REQUEST SENSE, where the transport does not hand it over with the status.
func (u *unit) keep(c *Command) {
	if !u.keepSense || c.CDB[0] == opRequestSense {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = senseNone
	if c.Status == CheckCondition {
		u.last = Sense{c.Sense[2], c.Sense[12], c.Sense[13]}
	}
}

// requestSense reports kept sense, or a pending unit attention, which it ends.
func (u *unit) requestSense(c *Command) {
	if c.CDB[1]&1 != 0 { // descriptor format
		c.failField(1)
		return
	}
	u.mu.Lock()
	s := u.last
	u.last = senseNone
	u.mu.Unlock()
	if s == senseNone {
		s, _ = u.takeAttention()
	}
	var p [SenseSize]byte
	s.put(&p)
	c.reply(p[:], int(c.CDB[4]))
}

// execute looks c up in a unit's table and serves it. ready says what keeps the medium from being used, if anything does.
func execute[U any](u *unit, table *[256]operation[U], self U, ready func() Sense, c *Command) {
	op := &table[c.CDB[0]]
	switch {
	case op.serve == nil:
		c.fail(senseBadOpcode)
	case op.flags&always == 0 && u.attended(c):
	case op.flags&medium != 0 && blocked(ready(), c):
	default:
		op.serve(self, c)
	}
	u.keep(c)
}

// attended fails c with a pending unit attention.
func (u *unit) attended(c *Command) bool {
	s, pending := u.takeAttention()
	if pending {
		c.fail(s)
	}
	return pending
}

// blocked fails c with s, unless that is none.
func blocked(s Sense, c *Command) bool {
	if s != senseNone {
		c.fail(s)
	}
	return s != senseNone
}

// ExecuteAbsent answers for a logical unit that does not exist (SPC-4, section 6.6.2), or for the target itself where the command is for it.
func ExecuteAbsent(c *Command) {
	switch c.CDB[0] {
	case opInquiry:
		p := [36]byte{0: 0x7f, 2: 6, 3: 2, 4: 31}
		if c.CDB[1]&1 != 0 {
			c.failField(1)
			return
		}
		c.reply(p[:], c.allocation6())
	case opRequestSense:
		var p [SenseSize]byte
		senseBadUnit.put(&p)
		c.reply(p[:], int(c.CDB[4]))
	case opReportLUNs:
		reportLUNs(c)
	default:
		c.fail(senseBadUnit)
	}
}

// reportLUNs lists the one logical unit (SPC-4, section 6.33).
func reportLUNs(c *Command) {
	lba := int(c.CDB[6])<<24 | int(c.CDB[7])<<16 | int(c.CDB[8])<<8 | int(c.CDB[9])
	var p [16]byte
	switch c.CDB[2] {
	case 0, 2:
		p[3] = 8
		c.reply(p[:], lba)
	case 1: // well-known ones: none
		c.reply(p[:8], lba)
	default:
		c.failField(2)
	}
}

// none serves commands that have nothing to do here and succeed.
func none[U any](U, *Command) {}

func (u *unit) save(w *state.Writer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range []Sense{u.attention, u.changed, u.last} {
		w.U8(s.Key)
		w.U8(s.ASC)
		w.U8(s.ASCQ)
	}
}

func (u *unit) restore(r *state.Reader) {
	var all [3]Sense
	for i := range all {
		all[i] = Sense{r.U8(), r.U8(), r.U8()}
		if all[i].Key > 0xf {
			r.Fail("sense key %#x", all[i].Key)
		}
	}
	if r.Err() != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.attention, u.changed, u.last = all[0], all[1], all[2]
}
