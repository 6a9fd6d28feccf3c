package partition_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"
)

const mib = 1 << 20

// mbrOf returns a boot record with the given entries: type, first sector, sectors.
func mbrOf(entries ...[3]uint32) []byte {
	p := make([]byte, 512)
	p[510], p[511] = 0x55, 0xaa
	for k, e := range entries {
		b := p[446+16*k:]
		b[4] = byte(e[0])
		binary.LittleEndian.PutUint32(b[8:], e[1])
		binary.LittleEndian.PutUint32(b[12:], e[2])
	}
	return p
}

// put copies p to a sector of a disk.
func put(disk []byte, sector int, p []byte) { copy(disk[sector*512:], p) }

// part is an entry of a GPT that gptOf makes.
type part struct {
	first, last uint64
	name        string
}

// gptOf returns a disk with a GPT of both copies, made by the book.
func gptOf(size, ss int, parts ...part) []byte {
	disk := make([]byte, size)
	le := binary.LittleEndian
	last := uint64(size/ss - 1)
	array := make([]byte, 128*128)
	for k, p := range parts {
		b := array[k*128:]
		copy(b, "\xa2\xa0\xd0\xeb\xe5\xb9\x33\x44\x87\xc0\x68\xb6\xb7\x26\x99\xc7")
		b[16] = byte(k + 1)
		le.PutUint64(b[32:], p.first)
		le.PutUint64(b[40:], p.last)
		for i, c := range p.name {
			le.PutUint16(b[56+2*i:], uint16(c))
		}
	}
	arraySectors := uint64(len(array) / ss)
	write := func(my, alternate, at uint64) {
		h := make([]byte, 92)
		copy(h, "EFI PART\x00\x00\x01\x00\x5c")
		for k, v := range []uint64{my, alternate, 2 + arraySectors, last - arraySectors - 1} {
			le.PutUint64(h[24+8*k:], v)
		}
		h[56] = 0xd1
		le.PutUint64(h[72:], at)
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		copy(disk[my*uint64(ss):], h)
		copy(disk[at*uint64(ss):], array)
	}
	write(1, last, 2)
	write(last, 1, last-arraySectors)
	copy(disk, mbrOf([3]uint32{0xee, 1, uint32(last)}))
	return disk
}

// journal is a disk that remembers its writes and flushes.
type journal struct {
	data   []byte
	events []event
}

type event struct {
	off   int64
	p     []byte
	flush bool
}

func (j *journal) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(j.data).ReadAt(p, off)
}

func (j *journal) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(p)) > int64(len(j.data)) {
		return 0, io.ErrShortWrite
	}
	for k := 0; k < len(p); k += 512 {
		j.events = append(j.events, event{off: off + int64(k), p: bytes.Clone(p[k:min(k+512, len(p))])})
	}
	return copy(j.data[off:], p), nil
}

func (j *journal) Flush() error {
	j.events = append(j.events, event{flush: true})
	return nil
}

// resized returns a copy of disk with another size.
func resized(disk []byte, size int) []byte {
	d := make([]byte, size)
	copy(d, disk)
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
