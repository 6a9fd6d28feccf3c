package blk

import "github.com/sharevm/vmm/disk"

// execute serves first and the requests merged behind it: it moves their data and sets their result and written. Only
// the status byte and the used ring are left to do.
func (d *Device) execute(first *request) {
	if first.result != statusOK { // found wanting by parse
		return
	}
	var err error
	switch first.kind {
	case typeIn, typeOut:
		d.transfer(first)
	case typeFlush:
		err = d.image.Flush()
	case typeGetID:
		first.written = first.chain.CopyOut(d.serial[:])
	case typeDiscard, typeWriteZeroes:
		err = d.clear(first)
	}
	if err != nil {
		first.result = statusIOError
		d.faults.report(first, err)
	}
}

// transfer moves the data of a run of adjacent reads or writes. When the image refuses the run as a whole, each request
// goes alone, so that only those that really cannot be served fail.
func (d *Device) transfer(first *request) {
	if first.next != nil {
		first.run = first.run[:0]
		for r := first; r != nil; r = r.next {
			first.run = append(first.run, r.data...)
		}
		if d.move(first.kind, first.run, first.offset) == nil {
			for r := first; r != nil; r = r.next {
				r.moved(nil)
			}
			return
		}
	}
	for r := first; r != nil; r = r.next {
		err := d.move(r.kind, r.data, r.offset)
		if err != nil {
			d.faults.report(r, err)
		}
		r.moved(err)
	}
}

// moved settles a read or write whose transfer ended with err.
func (r *request) moved(err error) {
	switch {
	case err != nil:
		r.result = statusIOError
	case r.kind == typeIn:
		r.written = r.length
	}
}

// move reads or writes bufs at off, and makes a write durable where the guest was promised that.
func (d *Device) move(kind uint32, bufs [][]byte, off int64) error {
	if len(bufs) == 0 {
		return nil
	}
	if kind == typeIn {
		return disk.ReadVector(d.image, bufs, off)
	}
	if err := disk.WriteVector(d.image, bufs, off); err != nil {
		return err
	}
	if d.stable() {
		return d.image.Flush()
	}
	return nil
}

// clear serves a discard or write-zeroes request. Zeroes are data, and so durable at once where writes are.
func (d *Device) clear(r *request) error {
	for _, z := range r.ranges[:r.count] {
		if z.length == 0 {
			continue
		}
		r.offset, r.length = z.offset, int(z.length) // for the log
		var err error
		if r.kind == typeDiscard {
			err = d.image.Discard(z.offset, z.length)
		} else {
			err = d.image.WriteZeroes(z.offset, z.length, z.unmap)
		}
		if err != nil {
			return err
		}
	}
	if r.kind == typeWriteZeroes && d.stable() {
		return d.image.Flush()
	}
	return nil
}
