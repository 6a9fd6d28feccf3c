package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf16"

	"github.com/sharevm/vmm/disk"
)

const (
	kib = 1 << 10
	mib = 1 << 20

	fileSignature   = "vhdxfile"
	headerSignature = "head"
	headerSize      = 4 * kib
	// headerArea is what headers and region tables take; everything else lies behind it, aligned to as much.
	headerArea = mib
	logVersion = 0
	version    = 1
)

// headerAt is where the two headers lie.
var headerAt = [2]int64{64 * kib, 128 * kib}

// header is one of the two headers (2.2.2).
type header struct {
	sequence  uint64
	fileWrite guid // changes before each session's first write of anything
	dataWrite guid // changes before each session's first visible change; what children remember
	log       guid // of valid log entries, or zero: the log is empty
	logVer    uint16
	version   uint16
	logLength int64
	logOffset int64
}

func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	le := binary.LittleEndian
	copy(p, headerSignature)
	le.PutUint64(p[8:], h.sequence)
	copy(p[16:], h.fileWrite[:])
	copy(p[32:], h.dataWrite[:])
	copy(p[48:], h.log[:])
	le.PutUint16(p[64:], h.logVer)
	le.PutUint16(p[66:], h.version)
	le.PutUint32(p[68:], uint32(h.logLength))
	le.PutUint64(p[72:], uint64(h.logOffset))
	seal(p)
	return p
}

// parseHeader returns the header in p, or why it is none.
func parseHeader(p []byte) (h *header, problem string) {
	le := binary.LittleEndian
	switch {
	case string(p[:4]) != headerSignature:
		return nil, `no "head" signature`
	case storedChecksum(p) != checksum(p):
		return nil, fmt.Sprintf("header checksum is %#08x, should be %#08x", storedChecksum(p), checksum(p))
	}
	h = &header{
		sequence: le.Uint64(p[8:]), fileWrite: guid(p[16:32]), dataWrite: guid(p[32:48]), log: guid(p[48:64]),
		logVer: le.Uint16(p[64:]), version: le.Uint16(p[66:]), logLength: int64(le.Uint32(p[68:])),
	}
	offset := le.Uint64(p[72:])
	if offset > 1<<62 {
		return nil, fmt.Sprintf("the log's offset %d is impossible", offset)
	}
	h.logOffset = int64(offset)
	return h, ""
}

// headers is the pair of headers of a file, of which one is current.
type headers struct {
	header            // the current one
	slot     int      // which it is
	problems []string // what is wrong with the other, if so: one at most
	creator  string
}

// readHeaders reads the file identifier and both headers.
func readHeaders(file disk.File) (*headers, error) {
	var id [8 + 512]byte
	if err := disk.ReadFull(file, id[:], 0, "file identifier"); err != nil {
		return nil, err
	}
	if string(id[:8]) != fileSignature {
		return nil, disk.Corrupt(file.Name(), 0, `no "vhdxfile" identifier`)
	}
	hs := &headers{creator: decodeUTF16(id[8:])}
	var found [2]*header
	var raw [2][headerSize]byte
	var problems []string
	for n, at := range headerAt {
		if m, err := file.ReadAt(raw[n][:], at); m < headerSize {
			if err != io.EOF && err != nil {
				return nil, err
			}
			problems = append(problems, fmt.Sprintf("header %d: the file ends inside it", n+1))
			continue
		}
		h, problem := parseHeader(raw[n][:])
		if problem != "" {
			problems = append(problems, fmt.Sprintf("header %d: %s", n+1, problem))
		}
		found[n] = h
	}
	switch {
	case found[0] == nil && found[1] == nil:
		return nil, disk.Corrupt(file.Name(), headerAt[0], "no valid header (%s; %s)", problems[0], problems[1])
	case found[0] == nil, found[1] != nil && found[1].sequence > found[0].sequence:
		hs.slot = 1
	case found[1] != nil && found[1].sequence == found[0].sequence && !bytes.Equal(raw[0][:], raw[1][:]):
		return nil, disk.Corrupt(file.Name(), headerAt[0], "both headers have sequence number %d but differ", found[0].sequence)
	}
	hs.header, hs.problems = *found[hs.slot], problems
	return hs, hs.validate(file.Name())
}

// validate checks the current header.
func (hs *headers) validate(name string) error {
	at := headerAt[hs.slot]
	switch {
	case hs.version != version:
		return disk.Unsupported(name, at+66, "format version %d", hs.version)
	case hs.dirty() && hs.logVer != logVersion:
		return disk.Unsupported(name, at+64, "log version %d", hs.logVer)
	case hs.logLength%mib != 0 || hs.logOffset%mib != 0 || hs.logLength > 0 && hs.logOffset < headerArea:
		return disk.Corrupt(name, at+68, "a log of %d bytes at %d is impossible", hs.logLength, hs.logOffset)
	case hs.dirty() && hs.logLength == 0:
		return disk.Corrupt(name, at+68, "the log is in use but has no length")
	}
	return nil
}

// dirty says whether there is a log to replay.
func (hs *headers) dirty() bool { return hs.log != guid{} }

// update changes both headers, one after the other: a crash leaves at least one, and the newer one that is whole counts.
func (hs *headers) update(file disk.File, change func(*header)) error {
	next := hs.header
	change(&next)
	next.version, next.logVer = version, logVersion
	for range 2 {
		next.sequence = hs.sequence + 1
		slot := 1 - hs.slot
		if _, err := file.WriteAt(next.encode(), headerAt[slot]); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		hs.header, hs.slot = next, slot
	}
	return nil
}

// decodeUTF16 decodes little-endian UTF-16 up to a NUL.
func decodeUTF16(p []byte) string {
	var units []uint16
	for ; len(p) >= 2; p = p[2:] {
		u := binary.LittleEndian.Uint16(p)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

func encodeUTF16(text string) (p []byte) {
	for _, u := range utf16.Encode([]rune(text)) {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	return p
}
