package undo

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/sharevm/vmm/disk"
)

const (
	magic   = "vmmundo\x00"
	version = 1
	align   = 512 // of records
	headLen = 80
	// maxBody is the most that follows a head, in bytes.
	maxBody = 1 << 20
	// maxFiles bounds what an undo file makes Apply open.
	maxFiles = 4096
	// maxName bounds a file's name, in bytes.
	maxName = 4096
)

// kind says what a record is.
type kind uint32

const (
	kindStart kind = iota + 1
	kindFile
	kindCreated
	kindData
	kindZero
	kindAfter
	kindEnd
	kindSealed
	kindReverting
	kindReverted
)

// record is one entry of an undo file, without its body.
type record struct {
	kind    kind
	session [16]byte
	number  uint64
	durable uint64 // records that were on the disk before this one was written
	file    uint32
	off     int64
	length  int64
	body    uint32 // length
	bodySum uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// append appends the record with body, padded.
func (r record) append(p, body []byte) []byte {
	start := len(p)
	le := binary.LittleEndian
	p = append(p, magic...)
	p = le.AppendUint32(p, version)
	p = le.AppendUint32(p, uint32(r.kind))
	p = append(p, r.session[:]...)
	p = le.AppendUint64(p, r.number)
	p = le.AppendUint64(p, r.durable)
	p = le.AppendUint32(p, r.file)
	p = le.AppendUint32(p, uint32(len(body)))
	p = le.AppendUint64(p, uint64(r.off))
	p = le.AppendUint64(p, uint64(r.length))
	p = le.AppendUint32(p, checksum(body))
	p = le.AppendUint32(p, checksum(p[start:]))
	p = append(p, body...)
	return append(p, make([]byte, padding(len(p)-start))...)
}

// padding is what brings a record of n bytes to a multiple of align.
func padding(n int) int { return (align - n%align) % align }

// parse reads a head, and returns false unless it is whole and of a kind that exists.
func parse(p []byte) (r record, ok bool) {
	le := binary.LittleEndian
	if string(p[:8]) != magic || le.Uint32(p[76:]) != checksum(p[:76]) || le.Uint32(p[8:]) != version {
		return r, false
	}
	r = record{
		kind: kind(le.Uint32(p[12:])), session: [16]byte(p[16:32]), number: le.Uint64(p[32:]), durable: le.Uint64(p[40:]), file: le.Uint32(p[48:]),
		body: le.Uint32(p[52:]), off: int64(le.Uint64(p[56:])), length: int64(le.Uint64(p[64:])), bodySum: le.Uint32(p[72:]),
	}
	return r, r.kind >= kindStart && r.kind <= kindReverted && r.body <= maxBody
}

// reader walks the records of an undo file.
type reader struct {
	file    disk.File
	size    int64
	at      int64 // of the next record
	session [16]byte
	number  uint64 // of the next record
	body    [maxBody]byte
}

// next returns the next record and its body, valid until the following call, or io.EOF where the writer stopped.
func (r *reader) next() (record, []byte, error) {
	rec, body, err := r.read(r.at)
	if err != nil {
		return rec, nil, err
	}
	if rec.kind != 0 && (r.number == 0 || rec.session == r.session) && rec.number == r.number {
		if r.number == 0 {
			r.session = rec.session
		}
		r.number++
		n := headLen + len(body)
		r.at += int64(n + padding(n))
		return rec, body, nil
	}
	return record{}, nil, r.lost()
}

// read returns the record at off, of kind 0 if there is no whole one.
func (r *reader) read(off int64) (rec record, body []byte, err error) {
	var head [headLen]byte
	if r.size-off < headLen {
		return record{}, nil, nil
	}
	if err := disk.ReadFull(r.file, head[:], off, "record"); err != nil {
		return rec, nil, err
	}
	rec, ok := parse(head[:])
	if !ok || int64(rec.body) > r.size-off-headLen {
		return record{}, nil, nil
	}
	body = r.body[:rec.body]
	if err := disk.ReadFull(r.file, body, off+headLen, "record"); err != nil {
		return rec, nil, err
	}
	if checksum(body) != rec.bodySum {
		return record{}, nil, nil
	}
	return rec, body, nil
}

// lost returns io.EOF if no later record says that the one that is missing here was once there.
func (r *reader) lost() error {
	if r.number == 0 {
		return disk.Corrupt(r.file.Name(), 0, "this is no undo file, or its beginning is damaged")
	}
	buf := r.body[:]
	for at := r.at; at < r.size; at += int64(len(buf)) {
		n := min(int64(len(buf)), r.size-at)
		if err := disk.ReadFull(r.file, buf[:n], at, "records"); err != nil {
			return err
		}
		for k := int64(0); k+headLen <= n; k += align {
			if rec, ok := parse(buf[k:]); ok && rec.session == r.session && rec.durable > r.number {
				return disk.Corrupt(r.file.Name(), r.at, "record %d is damaged, though record %d behind it is not", r.number, rec.number)
			}
		}
	}
	return io.EOF
}

// want returns an error if a record of this kind cannot have these numbers.
func (r record) want(file disk.File, at int64, ok bool) error {
	if ok {
		return nil
	}
	return disk.Corrupt(file.Name(), at, "a record of kind %d makes no sense (%s)", r.kind, fmt.Sprintf("file %d, %d bytes at %d", r.file, r.length, r.off))
}
