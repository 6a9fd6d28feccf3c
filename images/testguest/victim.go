package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

const (
	pageSize = 4096
	maxRings = 16

	// Where vmm's virtio devices have their structures, in BAR 0.
	common    = 0x0000
	notify    = 0x3000
	table     = 0x4000
	barLength = 0x8000

	statusReg  = 0x14
	needsReset = 64
)

// victim is a virtio device that has lost its driver.
type victim struct {
	name   string // address on the bus
	kind   int    // virtio device type
	bar    []byte
	cfg    *os.File
	saved  [64]byte
	queues int
	rings  [maxRings]struct {
		size, page int
		idx        uint16
	}
}

const pciDevices = "/sys/bus/pci/devices"

// takeDevices takes all virtio devices from their drivers.
func takeDevices() (all []*victim, err error) {
	paths, err := filepath.Glob(pciDevices + "/*")
	if err != nil {
		return nil, err
	}
	for _, p := range paths {
		b, err := os.ReadFile(p + "/device")
		if err != nil {
			return nil, err
		}
		id, err := strconv.ParseUint(strings.TrimSpace(string(b)), 0, 16)
		if err != nil || id < 0x1040 || id > 0x107f {
			continue
		}
		v := &victim{name: filepath.Base(p), kind: int(id - 0x1040)}
		if err := v.take(); err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		all = append(all, v)
	}
	if len(all) == 0 {
		return nil, errors.New("no virtio devices")
	}
	return all, nil
}

func (v *victim) take() (err error) {
	dir := filepath.Join(pciDevices, v.name)
	if err := os.WriteFile(dir+"/driver/unbind", []byte(v.name), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(dir+"/enable", []byte("1"), 0); err != nil {
		return err
	}
	if v.cfg, err = os.OpenFile(dir+"/config", os.O_RDWR, 0); err != nil {
		return err
	}
	v.config(0, v.saved[:])
	v.saved[4] |= 6 // memory and bus mastering
	v.restore()
	f, err := os.OpenFile(dir+"/resource0", os.O_RDWR|unix.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if v.bar, err = unix.Mmap(int(f.Fd()), 0, barLength, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	v.queues = int(v.load(common+0x12, 2))
	return nil
}

// restore puts the header of configuration space back in order.
func (v *victim) restore() {
	off := [4]byte{}
	v.setConfig(4, off[:2])
	v.setConfig(0x10, v.saved[0x10:0x18])
	v.setConfig(4, v.saved[4:6])
}

// giveBack resets the device and has its driver take it again.
func (v *victim) giveBack() error {
	v.restore()
	v.store(common+statusReg, 1, 0)
	if s := v.load(common+statusReg, 1); s != 0 {
		return fmt.Errorf("%s: status %#x after a reset", v.name, s)
	}
	if err := errors.Join(unix.Munmap(v.bar), v.cfg.Close()); err != nil {
		return err
	}
	if err := os.WriteFile("/sys/bus/pci/drivers/virtio-pci/bind", []byte(v.name), 0); err != nil {
		return err
	}
	wait := map[int]string{1: "/sys/class/net/" + card, 2: "/dev/vda"}[v.kind]
	if wait == "" {
		return nil
	}
	return setup.WaitFor(wait, 30*time.Second)
}

// config reads configuration space; what can't be read stays zero.
func (v *victim) config(off int, p []byte) { _, _ = v.cfg.ReadAt(p, int64(off)) }

func (v *victim) setConfig(off int, p []byte) { _, _ = v.cfg.WriteAt(p, int64(off)) }

// contiguous returns 2 MiB of memory and its physical address: a huge page, which stays where it is.
func contiguous() ([]byte, uint64, error) {
	const size = 2 << 20
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", []byte("1"), 0); err != nil {
		return nil, 0, err
	}
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB|unix.MAP_POPULATE)
	if err != nil {
		return nil, 0, fmt.Errorf("huge page: %w", err)
	}
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var entry [8]byte
	if _, err := f.ReadAt(entry[:], int64(address(p)/pageSize*8)); err != nil {
		return nil, 0, err
	}
	frame := binary.LittleEndian.Uint64(entry[:]) & (1<<55 - 1)
	if frame == 0 {
		return nil, 0, errors.New("the kernel does not tell where a page lies")
	}
	return p, frame * pageSize, nil
}
