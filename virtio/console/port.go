package console

import (
	"errors"
	"io"
	"runtime/debug"

	"github.com/sharevm/vmm/virtio/queue"
)

const (
	inputSize  = 4 << 10  // bytes read ahead from the host
	outputSize = 32 << 10 // bytes that the host may be behind
	chunkSize  = 4 << 10  // what a pump moves at a time
)

// port is one port: two rings, and the control state that the driver and the host share.
type port struct {
	dev     *Device
	index   int
	name    string
	console bool
	reader  io.Reader
	writer  io.Writer
	opened  func(bool)

	in, out *ring

	// The input worker's.
	inChain queue.Chain

	// The output worker's, and the snapshot's while it is stopped.
	outChain queue.Chain
	outDone  uint64 // bytes of the next chain that were taken before a pause

	// Control state, guarded by dev.mu.
	added     bool   // the driver has been told of the port
	ready     bool   // the driver uses the port
	guestOpen bool   // somebody in the guest listens
	hostOpen  bool   // somebody on the host listens
	posts     uint32 // control messages to send, as a set of bits
}

func newPort(d *Device, index int, c PortConfig) *port {
	return &port{
		dev: d, index: index, name: c.Name, console: c.Console, reader: c.In, writer: c.Out, opened: c.Opened,
		in: newRing(inputSize), out: newRing(outputSize), hostOpen: true,
	}
}

// receiveIndex is the number of the port's receive queue (virtio 1.2, section 5.3.2).
func (p *port) receiveIndex() int {
	if p.index == 0 {
		return 0
	}
	return 2*p.index + 2
}

func (p *port) transmitIndex() int { return p.receiveIndex() + 1 }

// output is the transmit queue's worker: it moves the guest's bytes into the ring. A chain that is only partly through when the
// workers stop goes back to the queue, with a note of how far it got.
func (p *port) output(q *queue.Queue) error {
	defer q.Publish()
	for !p.dev.workers.Stopping() {
		ok, err := q.Pop(&p.outChain)
		if err != nil || !ok {
			return err
		}
		skip := p.outDone
		for _, b := range p.outChain.Readable {
			passed := min(skip, uint64(len(b)))
			skip -= passed
			if done, err := p.send(q, b[passed:]); err != nil || !done {
				q.Unpop(1)
				return err
			}
		}
		p.outDone = 0
		q.Push(p.outChain.Head, 0)
	}
	return nil
}

// send puts b into the ring, waiting for room. It returns false when the workers are to stop.
func (p *port) send(q *queue.Queue, b []byte) (bool, error) {
	for {
		n := p.out.put(b)
		p.outDone += uint64(n)
		if b = b[n:]; len(b) == 0 {
			return true, nil
		}
		q.Publish()
		if p.dev.workers.Stopping() {
			return false, nil
		}
		if err := q.Kick.Wait(); err != nil {
			return false, err
		}
	}
}

// input is the receive queue's worker: it moves bytes from the ring into the guest's buffers. It waits for two things, bytes
// and buffers; both ring the queue's Kick.
func (p *port) input(q *queue.Queue) error {
	for !p.dev.workers.Stopping() {
		q.DisableNotifications()
		ready := p.listening() && p.in.pending()
		if ready {
			ok, err := q.Pop(&p.inChain)
			if err != nil {
				return err
			}
			if ok {
				if p.inChain.WriteLen == 0 {
					return errors.New("an input buffer is not writable")
				}
				written := 0
				for _, b := range p.inChain.Writable {
					n := p.in.get(b)
					if written += n; n < len(b) {
						break
					}
				}
				q.Push(p.inChain.Head, uint32(written))
				q.Publish()
				continue
			}
			if q.EnableNotifications() {
				continue
			}
		}
		if err := q.Kick.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// listening says whether the guest wants input.
func (p *port) listening() bool {
	if !p.dev.active.Load().Has(featureMultiport) {
		return true
	}
	p.dev.mu.Lock()
	defer p.dev.mu.Unlock()
	return p.guestOpen
}

// pump starts the goroutines that talk to the host.
func (p *port) pump() {
	if p.reader != nil {
		go func() {
			defer p.caught("input")
			buf := make([]byte, chunkSize)
			for {
				n, err := p.reader.Read(buf)
				if !p.in.write(buf[:n]) || err != nil {
					return
				}
			}
		}()
	}
	p.dev.pumps.Go(func() {
		defer p.caught("output")
		buf := make([]byte, chunkSize)
		w := p.writer
		for {
			n := p.out.read(buf)
			if n == 0 {
				return
			}
			if w == nil {
				continue
			}
			if _, err := w.Write(buf[:n]); err != nil {
				p.dev.log.Warn("console output is dropped from now on", "port", p.index, "error", err)
				w = nil
			}
		}
	})
}

// caught ends a panic of the host's Reader or Writer: the port loses that direction, and the guest's output goes nowhere instead
// of holding the guest up.
func (p *port) caught(direction string) {
	if v := recover(); v != nil {
		p.dev.log.Error("console pump panicked", "port", p.index, "direction", direction, "panic", v, "stack", string(debug.Stack()))
		if direction == "output" {
			p.out.close()
		}
	}
}
