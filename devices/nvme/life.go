package nvme

import (
	"errors"
	"fmt"

	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/internal/worker"
)

// setCC takes a write to CC. d.mu is held.
func (d *Controller) setCC(v uint32) {
	old := d.cc
	d.cc = v
	switch {
	case v&ccEnable == 0:
		if old&ccEnable != 0 {
			d.disable()
		}
	case old&ccEnable == 0 && d.life == off: // else the reset that is under way enables it
		d.enable()
	}
	if v&ccSHN != 0 && old&ccSHN == 0 && d.shutdown == 0 {
		d.shutDown()
	}
}

// enable starts the controller as CC says, or reports a fatal status. d.mu is held.
func (d *Controller) enable() {
	// Command set, page size and arbitration must be those offered; entry sizes matter only for I/O queues, and firmware sets them late.
	const mustBeZero = 7<<4 | 0xf<<7 | 7<<11
	var err error
	if d.cc&mustBeZero != 0 {
		err = fmt.Errorf("the driver asks for what is not offered: CC is %#x", d.cc)
	} else {
		err = d.addAdminQueues()
	}
	if err != nil {
		d.fail(err)
		return
	}
	d.life, d.shutdown = on, 0
	d.start()
}

func (d *Controller) addAdminQueues() error {
	cq, err := d.newCompletion(0, d.acq, d.aqa>>16+1, 0, true)
	if err != nil {
		return fmt.Errorf("admin completion queue: %w", err)
	}
	sq, err := d.newSubmission(0, d.asq, d.aqa&0xffff+1, cq)
	if err != nil {
		return fmt.Errorf("admin submission queue: %w", err)
	}
	d.cqs[0].Store(cq)
	d.sqs[0].Store(sq)
	return nil
}

// disable begins a controller level reset (section 7.3.2) and does not wait for it. d.mu is held.
func (d *Controller) disable() {
	d.cc = 0
	if d.life == on {
		d.life = stopping
		d.abandoned.Store(true)
		d.drains.Go(d.drain)
	}
	if d.life == off {
		d.forget()
	}
}

// drain ends a reset: when nothing touches guest memory any more, the controller is no longer ready, or ready anew if it was enabled meanwhile.
func (d *Controller) drain() {
	defer guard.Panic(d.log, "NVMe reset")
	d.stopWorkers()
	d.unbindDoorbells()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.abandoned.Store(false)
	d.life, d.running = off, false
	d.forget()
	if d.cc&ccEnable != 0 {
		d.enable()
	}
}

// forget gives up all that the driver has set up. The workers do not run. d.mu is held.
func (d *Controller) forget() {
	for i := range d.sqs {
		d.sqs[i].Store(nil)
		d.cqs[i].Store(nil)
	}
	d.fatal.Store(false)
	d.masked.Store(0)
	d.shutdown, d.shadow = 0, shadowBuffers{}
	d.features.reset()
	d.events.reset()
	d.driveINTx()
}

// functionReset is a function level reset: a reset that keeps nothing. It is called under the lock of PCI configuration space.
func (d *Controller) functionReset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disable()
	d.powerOn()
}

// powerOn puts back the registers that a controller level reset leaves alone. d.mu is held.
func (d *Controller) powerOn() {
	d.aqa, d.asq, d.acq, d.nssro = 0, 0, 0, false
}

// Reset is a reset of the whole machine, and returns when requests in flight have ended.
func (d *Controller) Reset() {
	d.functionReset()
	d.drains.Wait()
}

// shutDown makes what has been written durable and then says so (section 7.6.2). Commands go on being served. d.mu is held.
func (d *Controller) shutDown() {
	d.shutdown = cstsShutting
	d.flushAgain = d.flushing // it may have begun before the last writes
	if d.flushing {
		return
	}
	d.flushing = true
	d.drains.Go(func() {
		defer guard.Panic(d.log, "NVMe shutdown")
		for {
			if err := d.flushAll(); err != nil {
				d.log.Error("flush at shutdown failed", "error", err)
			}
			if d.flushed() {
				return
			}
		}
	})
}

// flushed says whether the flush that has just ended was enough, and reports the end of the shutdown then.
func (d *Controller) flushed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flushAgain {
		d.flushAgain = false
		return false
	}
	d.flushing = false
	if d.shutdown == cstsShutting {
		d.shutdown = cstsShutDown
	}
	return true
}

func (d *Controller) flushAll() error {
	var errs []error
	for _, ns := range d.namespaces {
		if ns != nil {
			errs = append(errs, ns.Image.Flush())
		}
	}
	return errors.Join(errs...)
}

// fail reports a fatal status (CSTS.CFS), which a reset clears. Any goroutine may call it.
func (d *Controller) fail(err error) {
	if d.fatal.Swap(true) {
		return
	}
	log := d.log
	if p := (*worker.PanicError)(nil); errors.As(err, &p) {
		log = log.With("stack", string(p.Stack))
	}
	log.Warn("controller has failed and needs a reset by its driver", "error", err)
}

// start sets the workers to work. d.mu is held.
func (d *Controller) start() {
	d.running = true
	d.jobs = make(chan *request, slotsPerLane*len(d.sqs))
	jobs := d.jobs
	closeJobs := func() { close(jobs) }
	for i := range d.config.Executors {
		d.pool.Go(fmt.Sprintf("executor %d", i), closeJobs, func() error { return executor(jobs) }, d.fail)
		closeJobs = func() {}
	}
	for i := range d.sqs {
		if q := d.sqs[i].Load(); q != nil {
			q.start()
		}
	}
}

// stopWorkers returns when no command is being carried out any more. The admin lane, which starts and stops others, ends first.
func (d *Controller) stopWorkers() {
	for i := range d.sqs {
		if q := d.sqs[i].Load(); q != nil {
			q.lane.Stop()
		}
	}
	d.pool.Stop()
}
