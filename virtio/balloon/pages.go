package balloon

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sharevm/vmm/virtio/queue"
)

// list reads the page numbers of a chain.
type list struct {
	chain queue.Chain
	// piece holds page numbers copied out of guest RAM, so that those judged are those used. Drivers send 256 at a time.
	piece [1024]byte
}

// servePages takes lists of page numbers (section 5.5.6). Pages that go into the balloon are discarded; one that comes out needs nothing.
func (d *Device) servePages(q *queue.Queue, inflate bool) error {
	l := &d.lists[q.Index]
	for !d.workers.Stopping() {
		more, err := q.Pop(&l.chain)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if inflate {
			done, err := d.inflate(l)
			if err != nil {
				return err
			}
			if !done {
				q.Unpop(1)
				break
			}
		}
		q.Push(l.chain.Head, 0)
	}
	q.Publish()
	return nil
}

// inflate discards the pages of a list. It says false when it stopped halfway, because the device is to stop: to discard a
// page again changes nothing, as long as the driver has not got its chain back.
func (d *Device) inflate(l *list) (done bool, err error) {
	const number = 4 // bytes of a page number
	mem := d.activation.Memory
	if l.chain.ReadLen/number > mem.Size()/pageSize { // or a guest could have its host discard one page for minutes
		return false, errors.New("a list names more pages than there are")
	}
	for l.chain.ReadLen >= number {
		if d.workers.Stopping() {
			return false, nil
		}
		n := l.chain.CopyIn(l.piece[:]) &^ (number - 1)
		for at := 0; at < n; {
			first := binary.LittleEndian.Uint32(l.piece[at:])
			count := uint64(1)
			for at += number; at < n && uint64(binary.LittleEndian.Uint32(l.piece[at:])) == uint64(first)+count; at += number {
				count++
			}
			pages, err := mem.Slice(uint64(first)*pageSize, count*pageSize)
			if err != nil {
				return false, fmt.Errorf("pages for the balloon: %w", err)
			}
			if err := d.give(pages); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// serveReports takes free pages: the buffers of each chain are the pages themselves (section 5.5.6.6).
func (d *Device) serveReports(q *queue.Queue) error {
	chain := &d.reports[q.Index]
	for !d.workers.Stopping() {
		more, err := q.Pop(chain)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		done, err := d.discard(chain)
		if err != nil {
			return err
		}
		if !done {
			q.Unpop(1)
			break
		}
		q.Push(chain.Head, 0)
	}
	q.Publish()
	return nil
}

// discard gives back reported pages, unless they must keep what the driver filled them with. It says false as inflate does.
func (d *Device) discard(chain *queue.Chain) (done bool, err error) {
	if d.activation.Has(featurePagePoison) && d.field(configPoison) != 0 {
		return true, nil
	}
	for _, pages := range chain.Writable {
		if d.workers.Stopping() {
			return false, nil
		}
		if err := d.give(pages); err != nil {
			return false, err
		}
	}
	return true, nil
}
