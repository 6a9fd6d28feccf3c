package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/sharevm/vmm/images/testguest/record"
	"golang.org/x/sys/unix"
)

const (
	chunk = 64 << 10 // bytes; what one operation of the load works on at most

	blkDiscard = 0x1277 // BLKDISCARD
	blkZeroOut = 0x127f // BLKZEROOUT
)

// device is an open block device.
type device struct {
	*os.File
	size int64
}

// openDevice opens a disk past the page cache, so that what is verified comes from the machine and not from the guest's memory.
func openDevice(path string) (*device, error) {
	path, err := awaitDisk(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	return &device{f, size}, nil
}

// rangeIoctl issues BLKDISCARD or BLKZEROOUT.
func (d *device) rangeIoctl(req uintptr, off, n int64) error {
	r := [2]uint64{uint64(off), uint64(n)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, d.Fd(), req, uintptr(unsafe.Pointer(&r))); errno != 0 {
		return errno
	}
	return nil
}

// aligned returns a buffer that O_DIRECT takes.
func aligned(n int) []byte {
	b := make([]byte, n+4096)
	skip := 4096 - int(uintptr(unsafe.Pointer(&b[0]))%4096)
	return b[skip : skip+n : skip+n]
}

// openWith opens the disk of DEVICE:NUMBER:NUMBER... and returns the numbers.
func openWith(args string, numbers int) (*device, []int64, error) {
	parts := strings.Split(args, ":")
	if len(parts) != numbers+1 {
		return nil, nil, fmt.Errorf("%d arguments expected", numbers+1)
	}
	var ns []int64
	for _, p := range parts[1:] {
		n, err := strconv.ParseInt(p, 10, 64)
		if err != nil {
			return nil, nil, err
		}
		ns = append(ns, n)
	}
	d, err := openDevice(parts[0])
	return d, ns, err
}

// verifyDisk (DEVICE:MIB:SEED) writes, zeroes and flushes random pieces of a disk and checks every byte against a model
// kept in memory, on the way and at the end. It covers the whole of a disk of up to MIB; of a larger one the beginning.
func verifyDisk(args string) error {
	d, n, err := openWith(args, 2)
	if err != nil {
		return err
	}
	defer d.Close()
	size := min(d.size, n[0]<<20)
	rng := rand.New(rand.NewPCG(uint64(n[1]), 1))
	model := make([]byte, size)
	if err := d.readAll(model); err != nil {
		return err
	}
	buf := aligned(chunk)
	var writes, zeroes, reads, flushes int
	for range 4 * size / chunk {
		off := rng.Int64N(size/512) * 512
		length := min((rng.Int64N(chunk/512)+1)*512, size-off)
		p := buf[:length]
		switch rng.IntN(16) {
		case 0:
			zeroes++
			if err := d.rangeIoctl(blkZeroOut, off, length); err != nil {
				return fmt.Errorf("write zeroes at %d+%d: %w", off, length, err)
			}
			clear(model[off : off+length])
		case 1:
			flushes++
			if err := d.Sync(); err != nil {
				return fmt.Errorf("flush: %w", err)
			}
		case 2, 3, 4:
			reads++
			if _, err := d.ReadAt(p, off); err != nil {
				return fmt.Errorf("read %d+%d: %w", off, length, err)
			}
			if !bytes.Equal(p, model[off:off+length]) {
				return fmt.Errorf("wrong data in %d+%d", off, length)
			}
		default:
			writes++
			for i := 0; i < len(p); i += 8 {
				binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
			}
			if _, err := d.WriteAt(p, off); err != nil {
				return fmt.Errorf("write %d+%d: %w", off, length, err)
			}
			copy(model[off:], p)
		}
	}
	if err := d.Sync(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	seen := make([]byte, size)
	if err := d.readAll(seen); err != nil {
		return err
	}
	if !bytes.Equal(seen, model) {
		return fmt.Errorf("the disk differs from what was written")
	}
	say("disk %s writes=%d zeroes=%d reads=%d flushes=%d sha256=%x", d.Name(), writes, zeroes, reads, flushes, sha256.Sum256(model))
	return nil
}

// readAll reads the first len(p) bytes.
func (d *device) readAll(p []byte) error {
	buf := aligned(1 << 20)
	for off := 0; off < len(p); off += len(buf) {
		b := buf[:min(len(buf), len(p)-off)]
		if _, err := d.ReadAt(b, int64(off)); err != nil {
			return fmt.Errorf("read %d+%d: %w", off, len(b), err)
		}
		copy(p[off:], b)
	}
	return nil
}

// hashDisk (DEVICE) prints the hash of a whole disk.
func hashDisk(path string) error {
	d, err := openDevice(path)
	if err != nil {
		return err
	}
	defer d.Close()
	h, buf := sha256.New(), aligned(1<<20)
	for off := int64(0); off < d.size; off += int64(len(buf)) {
		b := buf[:min(int64(len(buf)), d.size-off)]
		if _, err := d.ReadAt(b, off); err != nil {
			return fmt.Errorf("read %d+%d: %w", off, len(b), err)
		}
		h.Write(b)
	}
	say("hash %s %x", path, h.Sum(nil))
	return nil
}

// fillDisk (DEVICE:MIB:SEED) writes random bytes from the start and discards every eighth piece again.
func fillDisk(args string) error {
	d, n, err := openWith(args, 2)
	if err != nil {
		return err
	}
	defer d.Close()
	rng := rand.NewChaCha8([32]byte{byte(n[1])})
	buf := aligned(1 << 20)
	for i := range min(n[0], d.size>>20) {
		_, _ = rng.Read(buf)
		if _, err := d.WriteAt(buf, i<<20); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		if i%8 == 7 {
			if err := d.rangeIoctl(blkDiscard, i<<20, 1<<20); err != nil {
				return fmt.Errorf("discard: %w", err)
			}
		}
	}
	return d.Sync()
}

// journal (DEVICE:MIB:SEED) writes numbered records at random places and says "synced N" once everything up to N is
// flushed. The test kills the monitor and looks for the records.
func journal(args string) error {
	d, n, err := openWith(args, 2)
	if err != nil {
		return err
	}
	defer d.Close()
	slots := uint64(1)
	for slots*2*record.Size <= uint64(min(d.size, n[0]<<20)) {
		slots *= 2
	}
	seed := uint64(n[1])
	buf := aligned(record.Size)
	for i := uint64(1); i <= slots; i++ {
		record.Fill(buf, seed, i)
		if _, err := d.WriteAt(buf, int64(record.Slot(seed, i, slots))*record.Size); err != nil {
			return fmt.Errorf("write record %d: %w", i, err)
		}
		if i%8 == 0 {
			if err := d.Sync(); err != nil {
				return fmt.Errorf("flush: %w", err)
			}
			say("synced %d", i)
		}
	}
	return fmt.Errorf("all %d records are written and nobody has killed the monitor", slots)
}
