package fwcfg

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/memory"
)

// Place and number of the device's ports.
const (
	Port = 0x510
	Size = 12
)

// Keys of items.
const (
	keySignature = 0x0000
	keyFeatures  = 0x0001
	keyDirectory = 0x0019
	keyFirstFile = 0x0020
	// MaxKey is the highest key that a machine may use: the bits above it are reserved.
	MaxKey = 0x3FFF
)

const (
	featurePorts = 1 << 0
	featureDMA   = 1 << 1

	// MaxName is the longest name of a file in bytes.
	MaxName   = 55
	maxFiles  = 256
	entrySize = 64 // of the directory
)

// item is what a key selects.
type item struct {
	data []byte
	// make gives data when the item is selected first; nil once that has happened.
	make func() ([]byte, error)
	// written is told of the whole item after each write to it; nil for a read-only item.
	written  func(data []byte)
	computed bool // by make, once
	size     int
}

// Device is the configuration device. It is a bus.Device of Size ports and a state.Device. Items are added before the guest runs.
type Device struct {
	mem *memory.Guest
	log *slog.Logger

	mu       sync.Mutex
	items    map[uint16]*item
	files    uint16
	selected uint16
	at       uint32 // offset of the next byte in the selected item
	high     uint32 // upper half of the DMA address
}

// New returns a device that has nothing to tell but itself. log may be nil.
func New(mem *memory.Guest, log *slog.Logger) *Device {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	d := &Device{mem: mem, log: log, items: map[uint16]*item{}}
	d.set(keySignature, []byte("QEMU"))
	d.set(keyFeatures, binary.LittleEndian.AppendUint32(nil, featurePorts|featureDMA))
	d.set(keyDirectory, make([]byte, 4))
	return d
}

func (d *Device) set(key uint16, data []byte) { d.items[key] = &item{data: data, size: len(data)} }

// AddItem gives key the contents data.
func (d *Device) AddItem(key uint16, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if key > MaxKey || key >= keyFirstFile && key < keyFirstFile+maxFiles || d.items[key] != nil {
		return fmt.Errorf("fw_cfg: no item can have key %#x", key)
	}
	d.set(key, data)
	return nil
}

// AddFile adds a file that the guest reads.
func (d *Device) AddFile(name string, data []byte) error {
	return d.addFile(name, &item{data: data, size: len(data)})
}

// AddComputedFile adds a file of size bytes whose contents are asked for when the guest selects it first, by a vCPU. What falls short of size is
// filled up with zeroes; with an error, which is logged, or with too much, the file reads as zeroes.
func (d *Device) AddComputedFile(name string, size int, contents func() ([]byte, error)) error {
	return d.addFile(name, &item{size: size, make: contents, computed: true})
}

// AddWritableFile adds a file that the guest reads and writes. written is called by a vCPU after each write with the whole contents, which it must not keep.
func (d *Device) AddWritableFile(name string, data []byte, written func(data []byte)) error {
	return d.addFile(name, &item{data: data, size: len(data), written: written})
}

func (d *Device) addFile(name string, f *item) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == "" || len(name) > MaxName || d.files == maxFiles {
		return fmt.Errorf("fw_cfg: no room for file %q", name)
	}
	dir := d.items[keyDirectory]
	for at := 4; at < len(dir.data); at += entrySize {
		if e := dir.data[at+8:][:len(name)+1]; string(e) == name+"\x00" {
			return fmt.Errorf("fw_cfg: two files %q", name)
		}
	}
	key := keyFirstFile + d.files
	d.items[key] = f
	d.files++
	entry := binary.BigEndian.AppendUint32(nil, uint32(f.size))
	entry = binary.BigEndian.AppendUint16(entry, key)
	entry = append(append(entry, 0, 0), name...)
	entry = append(entry, make([]byte, entrySize-len(entry))...)
	dir.data = append(dir.data, entry...)
	binary.BigEndian.PutUint32(dir.data, uint32(d.files))
	dir.size = len(dir.data)
	return nil
}

// choose selects an item and begins at its start.
func (d *Device) choose(key uint16) {
	d.selected, d.at = key, 0
	f := d.items[key]
	if f == nil || f.make == nil {
		return
	}
	data, err := f.make()
	f.make = nil
	if err == nil && len(data) > f.size {
		err = fmt.Errorf("%d bytes, %d were promised", len(data), f.size)
	}
	if err != nil {
		d.log.Error("fw_cfg: a file is empty for the firmware", "key", key, "error", err)
		data = nil
	}
	f.data = append(data, make([]byte, f.size-len(data))...)
}

// rest is what is left of the selected item.
func (d *Device) rest() []byte {
	f := d.items[d.selected]
	if f == nil || uint64(d.at) >= uint64(len(f.data)) {
		return nil
	}
	return f.data[d.at:]
}

// skip moves on by n bytes; past the end it stays there, however often.
func (d *Device) skip(n uint32) { d.at = uint32(min(uint64(d.at)+uint64(n), 1<<31)) }

// take fills p from the selected item; past its end there are zeroes.
func (d *Device) take(p []byte) {
	clear(p[copy(p, d.rest()):])
	d.skip(uint32(len(p)))
}
