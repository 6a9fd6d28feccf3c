package nvme

// serveAdmin carries out admin commands, one at a time.
func (q *submission) serveAdmin() error {
	for !q.lane.Stopping() {
		if q.deliverEvent() || q.serveOne() {
			continue
		}
		q.cq.publish()
		if err := q.kick.Wait(); err != nil {
			return err
		}
	}
	q.cq.publish()
	return nil
}

// deliverEvent completes an Asynchronous Event Request, if there is an event.
func (q *submission) deliverEvent() bool {
	if !q.dev.events.due() || !q.cq.reserve() {
		return false
	}
	id, result, ok := q.dev.events.next()
	if !ok { // the request was aborted meanwhile
		q.cq.release()
		return true
	}
	q.cq.post(q, id, success, result)
	return true
}

// serveOne carries out the next command. It returns false when there is none, or no room for its completion.
func (q *submission) serveOne() bool {
	if !q.peek() || !q.cq.reserve() {
		return false
	}
	q.take()
	done := false
	defer func() { // also when it panics
		if !done {
			q.cq.release()
		}
	}()
	result, s, answer := q.admin(&q.cmd)
	if answer {
		done = true
		q.cq.post(q, q.cmd.id, s, result)
	}
	return true
}

// admin carries out an admin command. answer is false for one that completes later.
func (q *submission) admin(c *command) (result uint32, s status, answer bool) {
	d := q.dev
	answer = true
	if c.flags&flagsUnsupported != 0 {
		return 0, invalidField, true
	}
	switch c.opcode {
	case adminIdentify:
		s = d.identify(c, &q.pages)
	case adminGetLogPage:
		s = d.getLogPage(c, &q.pages)
	case adminGetFeatures:
		result, s = d.getFeatures(c)
	case adminSetFeatures:
		result, s = d.setFeatures(c)
	case adminCreateCQ:
		s = d.createCompletion(c)
	case adminCreateSQ:
		s = d.createSubmission(c)
	case adminDeleteCQ:
		s = d.deleteCompletion(c)
	case adminDeleteSQ:
		s = d.deleteSubmission(c)
	case adminAbort:
		result = q.abort(c)
	case adminAsyncEvent:
		if answer = !d.events.wait(c.id); answer {
			s = eventLimitExceeded
		}
	case adminDoorbellBuffer:
		if s = d.setShadow(c.prp1, c.prp2); s == success {
			d.bindDoorbells()
		}
	default:
		s = invalidOpcode
	}
	return result, s, answer
}

// abort carries out Abort (section 5.1). Commands that were taken are carried out anyway, which bit 0 of the result says; an Asynchronous
// Event Request ends.
func (q *submission) abort(c *command) (result uint32) {
	const notAborted = 1
	queue, id := uint16(c.dw[10]), uint16(c.dw[10]>>16)
	if queue != 0 || !q.dev.events.abort(id) {
		return notAborted
	}
	if !q.cq.reserve() { // the driver gets no answer to either
		return notAborted
	}
	q.cq.post(q, id, abortRequested, 0)
	return 0
}
