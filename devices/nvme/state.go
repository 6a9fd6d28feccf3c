package nvme

import (
	"github.com/sharevm/vmm/vmm/state"
)

const stateName, stateVersion = "nvme", 1

// Pause implements state.Device: commands that were taken complete, and no more are taken.
func (d *Controller) Pause() {
	d.drains.Wait()
	d.mu.Lock()
	running := d.running
	d.running = false
	d.mu.Unlock()
	if running {
		d.stopWorkers()
	}
}

// Resume implements state.Device.
func (d *Controller) Resume() {
	if d.bindRestored() {
		d.bindDoorbells()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.life == on && !d.running {
		d.start()
	}
}

// bindRestored says whether doorbells have to be left to the kernel, after a restore.
func (d *Controller) bindRestored() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.life == on && d.shadow.valuePage != nil && !d.bound.Load()
}

// Save implements state.Device. Logs and counters are not state.
func (d *Controller) Save(w *state.Writer) {
	d.fn.Save(w)
	d.mu.Lock()
	defer d.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U32(d.cc)
	w.U32(d.aqa)
	w.U64(d.asq)
	w.U64(d.acq)
	w.U32(d.shutdown)
	w.Bool(d.nssro)
	w.Bool(d.fatal.Load())
	w.U32(d.masked.Load())
	for i := range d.features {
		w.U32(d.features[i].Load())
	}
	w.Bool(d.shadow.valuePage != nil)
	w.U64(d.shadow.values)
	w.U64(d.shadow.events)
	d.events.save(w)
	w.Bool(d.life == on)
	if d.life != on {
		return
	}
	w.U16(uint16(len(d.sqs)))
	for i := range d.cqs {
		d.cqs[i].Load().save(w)
	}
	for i := range d.sqs {
		d.sqs[i].Load().save(w)
	}
}

func (e *events) save(w *state.Writer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.U8(uint8(len(e.requests)))
	for _, id := range e.requests {
		w.U16(id)
	}
	w.U32(e.pending)
	w.Bool(e.raised)
	w.Bool(e.held)
}

// save appends a queue, or that there is none.
func (q *completion) save(w *state.Writer) {
	w.Bool(q != nil)
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	w.U64(q.base)
	w.U32(q.size)
	w.U16(q.vector)
	w.Bool(q.inform)
	w.U32(q.head)
	w.U32(q.tail)
	w.Bool(q.phase)
}

// save appends a queue, or that there is none.
func (q *submission) save(w *state.Writer) {
	w.Bool(q != nil)
	if q == nil {
		return
	}
	w.U64(q.base)
	w.U32(q.size)
	w.U16(q.cq.id)
	w.U32(q.head.Load())
	w.U32(q.tail.Load())
}

// Restore implements state.Device. The workers start at Resume.
func (d *Controller) Restore(r *state.Reader) error {
	d.Reset()
	if err := d.fn.Restore(r); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.restore(r); r.Err() != nil { // nothing half restored may be started
		d.life, d.cc = off, 0
		d.forget()
		d.powerOn()
	}
	return r.Err()
}

// restore reads what Save has written after the PCI function. d.mu is held.
func (d *Controller) restore(r *state.Reader) {
	r.Version(stateName, stateVersion)
	d.cc = r.U32()
	d.aqa = r.U32()
	d.asq = r.U64()
	d.acq = r.U64()
	d.shutdown = r.U32()
	d.nssro = r.Bool()
	d.fatal.Store(r.Bool())
	d.masked.Store(r.U32())
	for i := range d.features {
		d.features[i].Store(r.U32())
	}
	shadow, values, events := r.Bool(), r.U64(), r.U64()
	d.events.restore(r)
	enabled := r.Bool()
	switch {
	case r.Err() != nil:
		return
	case d.cc&^ccWritable != 0 || d.aqa&^aqaWritable != 0 || d.asq%pageSize != 0 || d.acq%pageSize != 0:
		r.Fail("%s: registers that no driver can set: CC %#x, AQA %#x, ASQ %#x, ACQ %#x", d.name, d.cc, d.aqa, d.asq, d.acq)
	case d.shutdown != 0 && d.shutdown != cstsShutDown:
		r.Fail("%s: shutdown status %#x", d.name, d.shutdown)
	case enabled && d.cc&ccEnable == 0:
		r.Fail("%s: it runs and is not enabled", d.name)
	case shadow && !enabled:
		r.Fail("%s: doorbell buffers of a controller that is not enabled", d.name)
	case !shadow && (values != 0 || events != 0):
		r.Fail("%s: addresses of doorbell buffers that are not there", d.name)
	}
	if r.Err() != nil || !enabled {
		return
	}
	if shadow && d.useShadow(values, events) != success {
		r.Fail("%s: doorbell buffers at %#x and %#x", d.name, values, events)
		return
	}
	if n := r.U16(); r.Err() == nil && int(n) != len(d.sqs) {
		r.Fail("%s: %d queue pairs, this controller has %d", d.name, n, len(d.sqs))
	}
	for i := range d.cqs {
		d.restoreCompletion(r, i)
	}
	for i := range d.sqs {
		d.restoreSubmission(r, i)
	}
	if r.Err() == nil {
		d.life = on
	}
}

func (e *events) restore(r *state.Reader) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := r.U8()
	if n > maxEvents {
		r.Fail("%d asynchronous event requests", n)
		return
	}
	e.requests = e.requests[:0]
	for range n {
		e.requests = append(e.requests, r.U16())
	}
	e.pending = r.U32()
	e.raised = r.Bool()
	e.held = r.Bool()
	if e.pending != 0 && e.pending != eventInvalidDoorbell && e.pending != eventInvalidValue {
		r.Fail("asynchronous event %#x", e.pending)
	}
}

// limits of a queue's size, by its number.
func sizeLimit(i int) uint32 {
	if i == 0 {
		return maxAdmin
	}
	return maxEntries
}

func (d *Controller) restoreCompletion(r *state.Reader, i int) {
	if !r.Bool() {
		if i == 0 {
			r.Fail("%s: no admin completion queue", d.name)
		}
		return
	}
	base, size, vector, inform := r.U64(), r.U32(), r.U16(), r.Bool()
	head, tail, phase := r.U32(), r.U32(), r.Bool()
	if r.Err() != nil {
		return
	}
	if size > sizeLimit(i) || base%pageSize != 0 || head >= size || tail >= size || int(vector) >= len(d.cqs) {
		r.Fail("%s: completion queue %d of %d entries at %#x, head %d, tail %d, vector %d", d.name, i, size, base, head, tail, vector)
		return
	}
	q, err := d.newCompletion(uint16(i), base, size, vector, inform)
	if err != nil {
		r.Fail("%s: completion queue %d: %v", d.name, i, err)
		return
	}
	q.head, q.tail, q.phase = head, tail, phase
	q.waiting.Store(head != tail)
	d.cqs[i].Store(q)
}

func (d *Controller) restoreSubmission(r *state.Reader, i int) {
	if !r.Bool() {
		if i == 0 {
			r.Fail("%s: no admin submission queue", d.name)
		}
		return
	}
	base, size, cq, head, tail := r.U64(), r.U32(), r.U16(), r.U32(), r.U32()
	if r.Err() != nil {
		return
	}
	if size > sizeLimit(i) || base%pageSize != 0 || head >= size || tail >= size || int(cq) >= len(d.cqs) || d.cqs[cq].Load() == nil || (i == 0) != (cq == 0) {
		r.Fail("%s: submission queue %d of %d entries at %#x, head %d, tail %d, completing to %d", d.name, i, size, base, head, tail, cq)
		return
	}
	q, err := d.newSubmission(uint16(i), base, size, d.cqs[cq].Load())
	if err != nil {
		r.Fail("%s: submission queue %d: %v", d.name, i, err)
		return
	}
	q.head.Store(head)
	q.tail.Store(tail)
	d.sqs[i].Store(q)
}
