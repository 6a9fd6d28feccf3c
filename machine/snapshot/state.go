package snapshot

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/sharevm/vmm/config"
)

const (
	magic      = "vmmstate"
	version    = 2
	headSize   = 24
	sumSize    = 4
	maxMeta    = 1 << 20
	maxDevices = 512 << 20
)

// The files of a snapshot.
const (
	StateFile  = "state"
	MemoryFile = "memory"
	PagesFile  = "pages"
)

// DiskFile is the file of what was written to a disk whose writes are thrown away.
func DiskFile(a config.Address) string { return "disk-" + a.String() }

// ErrCorrupt is wrapped where a file is not a whole snapshot's.
var ErrCorrupt = errors.New("the snapshot is damaged")

// ErrVersion is wrapped where another version of vmm wrote the snapshot.
var ErrVersion = errors.New("the snapshot is of another version of vmm")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Write writes the file state, which must be empty. It is not synced.
func Write(f io.Writer, m *Meta, devices []byte) error {
	meta, err := json.Marshal(m)
	if err != nil {
		return err
	}
	head := make([]byte, 0, headSize+len(meta))
	head = append(head, magic...)
	head = binary.LittleEndian.AppendUint32(head, version)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(meta)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(devices)))
	head = append(head, meta...)
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, devices)
	for _, p := range [][]byte{head, devices, binary.LittleEndian.AppendUint32(nil, sum)} {
		if _, err := f.Write(p); err != nil {
			return fmt.Errorf("write a snapshot's state: %w", err)
		}
	}
	return nil
}

// Read reads a file state.
func Read(f *os.File) (*Meta, []byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > headSize+maxMeta+maxDevices+sumSize {
		return nil, nil, fmt.Errorf("%s: %w: it has %d bytes", f.Name(), ErrCorrupt, info.Size())
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	m, devices, err := parse(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return m, devices, nil
}

// parse takes a file state apart; devices shares memory with b.
func parse(b []byte) (m *Meta, devices []byte, err error) {
	le := binary.LittleEndian
	if len(b) < headSize+sumSize || string(b[:len(magic)]) != magic {
		return nil, nil, fmt.Errorf("%w: this is no state of a machine", ErrCorrupt)
	}
	if v := le.Uint32(b[8:]); v != version {
		return nil, nil, fmt.Errorf("%w: %d, this one knows %d", ErrVersion, v, version)
	}
	n, d := uint64(le.Uint32(b[12:])), le.Uint64(b[16:])
	if n > maxMeta || d > maxDevices || headSize+n+d+sumSize != uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: it has %d bytes and should have %d", ErrCorrupt, len(b), headSize+n+d+sumSize)
	}
	end := len(b) - sumSize
	if crc32.Checksum(b[:end], castagnoli) != le.Uint32(b[end:]) {
		return nil, nil, fmt.Errorf("%w: its checksum is wrong", ErrCorrupt)
	}
	m = new(Meta)
	if err := json.Unmarshal(b[headSize:headSize+n], m); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, b[headSize+n : end : end], nil
}
