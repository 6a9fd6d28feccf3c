package nvme

const (
	contiguous = 1      // PC in CDW11 of Create I/O Queue
	interrupts = 1 << 1 // IEN
)

// createCompletion carries out Create I/O Completion Queue (section 5.3).
func (d *Controller) createCompletion(c *command) status {
	id, size := c.dw[10]&0xffff, c.dw[10]>>16+1
	vector := c.dw[11] >> 16
	switch {
	case id == 0 || id >= uint32(len(d.cqs)) || d.cqs[id].Load() != nil:
		return invalidQueueID
	case size < 2 || size > maxEntries:
		return invalidQueueSize
	case c.dw[11]&contiguous == 0:
		return invalidField
	case c.prp1%pageSize != 0:
		return invalidPRPOffset
	case vector >= uint32(len(d.cqs)) || (!d.usesMSIX() && vector != 0):
		return invalidVector
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q, err := d.newCompletion(uint16(id), c.prp1, size, uint16(vector), c.dw[11]&interrupts != 0)
	if err != nil {
		return invalidField
	}
	d.cqs[id].Store(q)
	return success
}

// createSubmission carries out Create I/O Submission Queue (section 5.4).
func (d *Controller) createSubmission(c *command) status {
	id, size := c.dw[10]&0xffff, c.dw[10]>>16+1
	target := c.dw[11] >> 16
	switch {
	case id == 0 || id >= uint32(len(d.sqs)) || d.sqs[id].Load() != nil:
		return invalidQueueID
	case size < 2 || size > maxEntries:
		return invalidQueueSize
	case target == 0 || target >= uint32(len(d.cqs)) || d.cqs[target].Load() == nil:
		return invalidCompletionQueue
	case c.dw[11]&contiguous == 0:
		return invalidField
	case c.prp1%pageSize != 0:
		return invalidPRPOffset
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q, err := d.newSubmission(uint16(id), c.prp1, size, d.cqs[target].Load())
	if err != nil {
		return invalidField
	}
	d.sqs[id].Store(q)
	q.start()
	return success
}

// deleteSubmission carries out Delete I/O Submission Queue (section 5.6). Commands that were taken complete first.
func (d *Controller) deleteSubmission(c *command) status {
	id := c.dw[10] & 0xffff
	if id == 0 || id >= uint32(len(d.sqs)) {
		return invalidQueueID
	}
	q := d.sqs[id].Load()
	if q == nil {
		return invalidQueueID
	}
	q.stop()
	q.cq.publish()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sqs[id].Store(nil)
	return success
}

// deleteCompletion carries out Delete I/O Completion Queue (section 5.5).
func (d *Controller) deleteCompletion(c *command) status {
	id := c.dw[10] & 0xffff
	if id == 0 || id >= uint32(len(d.cqs)) {
		return invalidQueueID
	}
	q := d.cqs[id].Load()
	if q == nil {
		return invalidQueueID
	}
	for i := range d.sqs {
		if sq := d.sqs[i].Load(); sq != nil && sq.cq == q {
			return invalidQueueDeletion
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cqs[id].Store(nil)
	d.driveINTx()
	return success
}
