package nvme

import (
	"encoding/binary"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/internal/throttle"
)

const (
	rangeSize = 16  // bytes of one range of Dataset Management
	maxRanges = 256 // of one command
	// deallocate is the attribute of Dataset Management that is obeyed; the others are hints.
	deallocate = 1 << 2
	// unmap allows Write Zeroes to give space back, in CDW12; and forceUnit makes a write durable before it completes.
	unmap     = 1 << 25
	forceUnit = 1 << 30
)

// request is one I/O command in flight. It is reused, and with it the storage of its slices.
type request struct {
	queue  *submission
	id     uint16
	opcode uint8
	ns     *namespace // nil for a flush of all
	status status

	offset int64 // bytes from the start of the namespace
	length int   // bytes
	pages  pages // guest memory of the data
	force  bool  // durable before it completes
	unmap  bool
	ranges []extent // of Dataset Management
}

// extent is a range of a namespace in bytes.
type extent struct{ offset, length int64 }

// parse takes a command apart. Faults are noted in r.status.
func (r *request) parse(c *command) {
	d := r.queue.dev
	r.id, r.opcode, r.status, r.length, r.offset, r.ns = c.id, c.opcode, success, 0, 0, nil
	if c.flags&flagsUnsupported != 0 {
		r.status = invalidField
		return
	}
	if c.opcode == ioFlush && c.namespace == allNamespaces {
		return
	}
	if r.ns = d.namespace(c.namespace); r.ns == nil {
		r.status = invalidNamespace
		return
	}
	switch c.opcode {
	case ioFlush:
	case ioRead, ioWrite:
		r.status = r.locate(c)
		if r.status == success && r.length > maxTransfer {
			r.status = invalidField
		}
		if r.status == success {
			r.status = r.pages.collect(c.prp1, c.prp2, r.length)
		}
	case ioWriteZeroes:
		r.unmap = c.dw[12]&unmap != 0
		r.status = r.locate(c)
	case ioDataset:
		r.status = r.parseRanges(c)
	default:
		r.status = invalidOpcode
	}
	if r.ns.ReadOnly && c.opcode != ioRead && c.opcode != ioFlush && r.status == success {
		r.status = namespaceWriteProtected
	}
}

// locate takes the extent of a read, write or write of zeroes.
func (r *request) locate(c *command) status {
	first := uint64(c.dw[10]) | uint64(c.dw[11])<<32
	count := uint64(c.dw[12]&0xffff) + 1
	if all := r.ns.blocks(); first > all || count > all-first {
		return lbaOutOfRange
	}
	r.offset, r.length = int64(first<<r.ns.shift), int(count<<r.ns.shift)
	r.force = c.dw[12]&forceUnit != 0
	return success
}

// parseRanges copies and checks the ranges of Dataset Management (section 6.7).
func (r *request) parseRanges(c *command) status {
	r.ranges = r.ranges[:0]
	count := int(c.dw[10]&0xff) + 1
	if s := r.pages.collect(c.prp1, c.prp2, count*rangeSize); s != success {
		return s
	}
	if c.dw[11]&deallocate == 0 {
		return success
	}
	all := r.ns.blocks()
	var raw [maxRanges * rangeSize]byte
	n := 0
	for _, p := range r.pages.pieces {
		n += copy(raw[n:], p)
	}
	for p := raw[:n]; len(p) > 0; p = p[rangeSize:] {
		length, first := uint64(binary.LittleEndian.Uint32(p[4:])), binary.LittleEndian.Uint64(p[8:])
		if first > all || length > all-first {
			return lbaOutOfRange
		}
		r.ranges = append(r.ranges, extent{int64(first << r.ns.shift), int64(length << r.ns.shift)})
	}
	return success
}

// isTransfer says whether the request moves data between guest memory and the image.
func (r *request) isTransfer() bool {
	return r.status == success && (r.opcode == ioRead || r.opcode == ioWrite)
}

// reachesImage says whether the request has anything for the image to do, which may take its time.
func (r *request) reachesImage() bool { return r.status == success }

// pass says whether a request may begin, and charges for it if so. If not, the lane is woken when it is time to look again.
func (q *submission) pass(r *request) bool {
	if r.status != success || r.ns == nil {
		return true
	}
	var gate *throttle.Gate
	cost := int64(r.length)
	if gate = r.ns.Writes; r.opcode == ioRead {
		gate = r.ns.Reads
	}
	if gate == nil {
		return true
	}
	if !q.waiter.Pass(gate) {
		return false
	}
	gate.Pay(1, cost)
	return true
}

// executor carries out requests until the lanes have ended.
func executor(jobs <-chan *request) error {
	for r := range jobs {
		r.serve()
		r.queue.cq.publish()
	}
	return nil
}

// serve carries out a request, posts its completion and settles it. It says how long a transfer took. During a reset nothing is begun, and
// nothing told.
func (r *request) serve() (took time.Duration) {
	q := r.queue
	told := false
	defer func() { // also when the image panics
		if !told {
			q.cq.release()
		}
		q.settle(r)
	}()
	if q.dev.abandoned.Load() {
		return 0
	}
	if r.status == success {
		begin := time.Now()
		err := r.execute()
		if r.isTransfer() {
			took = time.Since(begin)
			r.ns.pace.Observe(took)
		}
		if err != nil {
			r.status = writeFault
			if r.opcode == ioRead {
				r.status = unrecoveredRead
			}
			q.dev.errors.image(r, err)
		}
		q.dev.smart.count(r)
	}
	if q.dev.abandoned.Load() {
		return took
	}
	told = true
	q.cq.post(q, r.id, r.status, 0)
	return took
}

// execute has the image do what a request asks for.
func (r *request) execute() error {
	d := r.queue.dev
	if r.ns == nil {
		return d.flushAll()
	}
	img := r.ns.Image
	switch r.opcode {
	case ioRead:
		return disk.ReadVector(img, r.pages.pieces, r.offset)
	case ioFlush:
		return img.Flush()
	case ioWrite:
		if err := disk.WriteVector(img, r.pages.pieces, r.offset); err != nil {
			return err
		}
	case ioWriteZeroes:
		if err := img.WriteZeroes(r.offset, int64(r.length), r.unmap); err != nil {
			return err
		}
	case ioDataset:
		for _, x := range r.ranges {
			if x.length == 0 || d.abandoned.Load() {
				continue
			}
			if err := img.Discard(x.offset, x.length); err != nil {
				return err
			}
		}
		return nil
	}
	if r.force || r.ns.WriteThrough || !d.features.writeCache() {
		return img.Flush()
	}
	return nil
}
