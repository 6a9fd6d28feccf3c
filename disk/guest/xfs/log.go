package xfs

import (
	"bytes"
	"context"

	"github.com/sharevm/vmm/disk/guest/internal/volume"
)

// The log is a ring of basic blocks. Each begins with the number of the lap in which it was written, its cycle, or is the header of a record and has it in its
// second word. The head, where writing goes on, is where the cycle falls by one.
const (
	basicBlock    = 512
	recordMagic   = 0xfeedbabe
	headerCover   = 32 << 10 // bytes of a record that one header block has the cycles of
	maxHeaders    = 8        // of a record of 256 KiB, the longest
	unmountFlag   = 0x20
	maxUnmountLog = 2048 // basic blocks: an unmount record is one, padded to the stripe
)

// log reads the log's basic blocks.
type log struct {
	v      *Volume
	ctx    context.Context
	off    int64 // bytes of the volume
	blocks int64
}

func (l log) read(n int64) ([]byte, error) {
	p := make([]byte, basicBlock)
	return p, l.v.r.Read(l.ctx, p, l.off+n*basicBlock)
}

// cycle is the lap in which a block was written; 0 is none.
func (l log) cycle(n int64) (uint32, error) {
	p, err := l.read(n)
	if c := be.Uint32(p); err != nil || c != recordMagic {
		return c, err
	}
	return be.Uint32(p[4:]), nil
}

// judgeLog refuses a volume whose log does not end with the record of an unmount.
func (v *Volume) judgeLog(ctx context.Context) error {
	s := &v.super
	l := log{v, ctx, (s.logAG*s.agBlocks + s.logFirst) * s.blockSize, s.logBlocks * s.blockSize / basicBlock}
	head, err := l.head()
	if err != nil {
		return err
	}
	if head < 0 {
		return nil
	}
	clean, err := l.unmounted(head)
	if err == nil && !clean {
		err = volume.Refuse("it was not cleanly unmounted and its log must be replayed; boot the guest once and shut it down, or mount and unmount it")
	}
	return err
}

// head finds the block where writing goes on, or returns -1 for a log that was never written to.
func (l log) head() (int64, error) {
	first, err := l.cycle(0)
	if err != nil {
		return 0, err
	}
	last, err := l.cycle(l.blocks - 1)
	switch {
	case err != nil:
		return 0, err
	case first == 0 && last == 0:
		return -1, nil
	case first == last:
		return 0, nil
	}
	// Blocks before the head have the first one's cycle. Where some of the last writes are missing there are several such places, and any will do, since
	// the record of an unmount is waited for before anything follows it.
	low, high := int64(0), l.blocks-1
	for high-low > 1 {
		middle := low + (high-low)/2
		c, err := l.cycle(middle)
		if err != nil {
			return 0, err
		}
		if c == first {
			low = middle
		} else {
			high = middle
		}
	}
	return high, nil
}

// unmounted says whether the record that ends at head is that of an unmount.
func (l log) unmounted(head int64) (bool, error) {
	for back := int64(1); back <= min(maxUnmountLog, l.blocks); back++ {
		at := (head - back + l.blocks) % l.blocks
		p, err := l.read(at)
		if err != nil {
			return false, err
		}
		if be.Uint32(p) != recordMagic {
			continue
		}
		version, length, operations, size := be.Uint32(p[8:]), int64(be.Uint32(p[12:])), be.Uint32(p[40:]), int64(be.Uint32(p[320:]))
		headers := int64(1)
		if version == 2 && size > headerCover {
			headers = min((size+headerCover-1)/headerCover, maxHeaders)
		}
		uuid := p[304:320]
		if version != 1 && version != 2 || operations != 1 || headers+(length+basicBlock-1)/basicBlock != back ||
			!bytes.Equal(uuid, l.v.super.uuid[:]) && !bytes.Equal(uuid, l.v.super.metaUUID[:]) {
			return false, nil
		}
		// The one operation: transaction, length, client, flags. The transaction has given its place to the cycle.
		operation, err := l.read((at + headers) % l.blocks)
		return err == nil && operation[9]&unmountFlag != 0, err
	}
	return false, nil
}
