package blk

import (
	"errors"
	"sync"
	"time"

	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/virtio/queue"
)

const (
	// maxInline is the longest run, in bytes, that the worker carries out itself when there is more to do: a longer one is worth an executor,
	// which copies while the worker goes on.
	maxInline = 64 << 10
	// publishAfter is for how long the worker keeps from the driver what it has done already, so that one interrupt tells of many requests.
	publishAfter = 50 * time.Microsecond
)

// Bounds on what joining adjacent requests may build.
const (
	maxRun         = 512 << 10 // bytes
	maxRunSegments = queue.MaxSegments
)

var errNoStatus = errors.New("a request has no room for its status")

// lane takes the requests of one queue and gives them back. Its worker owns the queue's available side; whoever completes
// requests uses the used side.
type lane struct {
	dev *Device
	q   *queue.Queue

	// The worker's own.
	batch []*request // taken, not yet on their way
	spare []*request // free slots
	slots int        // that exist; they are made as a driver comes to need them
	held  bool       // the next request has to wait for its gate

	waiter *throttle.Waiter

	mu      sync.Mutex // guards the used side of q, and what follows
	free    []*request // slots that came back
	flying  int        // requests on their way
	starved bool       // the worker waits for a slot
}

func newLane(d *Device, q *queue.Queue) *lane {
	return &lane{dev: d, q: q, waiter: throttle.NewWaiter(nil, q.Kick.Signal)}
}

// handle takes requests until there are none, and sends them on their way in batches.
func (l *lane) handle(*queue.Queue) error {
	defer l.waiter.Stop()
	for !l.dev.lanes.Stopping() {
		if l.held || !l.refill() {
			l.held = false
			if err := l.q.Kick.Wait(); err != nil {
				return err
			}
			continue
		}
		more, err := l.gather()
		if err != nil {
			return err
		}
		l.dispatch()
		if !more {
			return nil
		}
	}
	return nil
}

// refill sees to it that there is a spare slot. When all are in flight it returns false, and the next one to come back
// signals the queue's Kick.
func (l *lane) refill() bool {
	if len(l.spare) > 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare, l.free = l.free, l.spare
	if len(l.spare) == 0 && l.slots < slotsPerLane {
		l.slots++
		l.spare = append(l.spare, &request{lane: l})
	}
	l.starved = len(l.spare) == 0
	return !l.starved
}

// gather fills the batch with checked requests that may begin. It returns false when the queue is empty.
func (l *lane) gather() (more bool, err error) {
	l.batch = l.batch[:0]
	for l.refill() {
		r := l.spare[len(l.spare)-1]
		if ok, err := l.q.Pop(&r.chain); err != nil || !ok {
			return false, err
		}
		if !l.dev.parse(r) {
			return false, errNoStatus
		}
		if !l.pass(r) {
			l.q.Unpop(1)
			l.held = true
			return true, nil
		}
		l.spare = l.spare[:len(l.spare)-1]
		l.batch = append(l.batch, r)
	}
	return true, nil
}

// dispatch joins the requests of the batch where they continue each other, and has them carried out.
func (l *lane) dispatch() {
	if len(l.batch) == 0 {
		return
	}
	runs := join(l.batch)
	l.mu.Lock()
	idle := l.flying == 0
	l.flying += len(l.batch)
	l.mu.Unlock()
	var unpublished time.Duration
	for _, first := range runs {
		alone := idle && len(runs) == 1
		if first.reachesImage() && !(first.isTransfer() && (alone || first.runLength() <= maxInline) && l.dev.pace.Quick()) {
			l.dev.jobs <- first // never blocks: there is room for every slot
			continue
		}
		took, ok := l.dev.serve(first)
		if !ok {
			continue
		}
		if unpublished += took; unpublished >= publishAfter {
			unpublished = 0
		}
		l.complete(first, unpublished == 0)
	}
	l.publish()
}

// join links each request of batch that continues the one before it to that one, and returns the first of each run, in the
// storage of batch.
func join(batch []*request) []*request {
	runs := batch[:0]
	var last *request
	bytes, segments := 0, 0
	for _, r := range batch {
		bytes += r.length
		segments += len(r.data)
		if last != nil && r.continues(last) && bytes <= maxRun && segments <= maxRunSegments {
			last.next = r
		} else {
			runs = append(runs, r)
			bytes, segments = r.length, len(r.data)
		}
		last = r
	}
	return runs
}

// executor carries out requests until the lanes have ended.
func (d *Device) executor() error {
	for first := range d.jobs {
		if _, ok := d.serve(first); ok {
			first.lane.complete(first, true)
		}
	}
	return nil
}

// serve carries out a run of requests and says how long that took. It returns false when a reset has made them pointless.
func (d *Device) serve(first *request) (took time.Duration, ok bool) {
	if d.abandoned.Load() {
		return 0, false
	}
	if !first.isTransfer() {
		d.execute(first)
		return 0, true
	}
	begin := time.Now()
	d.execute(first)
	took = time.Since(begin)
	d.pace.Observe(took)
	return took, true
}

// complete gives a run of requests back, to the driver when that is to be published, with one interrupt at most, and their slots to the
// worker.
func (l *lane) complete(first *request, publish bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := first; r != nil; {
		r.status[0] = r.result
		l.q.Push(r.chain.Head, uint32(r.written+len(r.status)))
		l.flying--
		l.free = append(l.free, r)
		next := r.next
		r.next = nil
		r = next
	}
	if publish {
		l.q.Publish()
	}
	if l.starved {
		l.starved = false
		l.q.Kick.Signal()
	}
}

// publish shows the driver what complete has not.
func (l *lane) publish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.q.Publish()
}
