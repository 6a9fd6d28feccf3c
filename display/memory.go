package display

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Memory is shared memory that holds pixels: a memfd, mapped here, that another process can map as well. It has a count of holders and is
// freed by the last one.
type Memory struct {
	data    []byte
	fd      int
	holders atomic.Int64
}

// NewMemory makes a Memory of size bytes (a multiple of the page size is best) with one holder, the caller. It reads as zeroes, and takes pages of the host as
// they are written. name is for /proc/PID/maps.
func NewMemory(name string, size int) (*Memory, error) {
	if size <= 0 || size > MaxBytes {
		return nil, fmt.Errorf("display: memory of %d bytes, 1 to %d possible", size, MaxBytes)
	}
	fd, err := unix.MemfdCreate("vmm-"+name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("display: create memfd %s: %w", name, err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("display: size memfd %s to %d bytes: %w", name, size, err)
	}
	// A peer that is handed the file must not be able to shrink it, which would turn our accesses into SIGBUS.
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("display: seal memfd %s: %w", name, err)
	}
	data, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("display: map memfd %s: %w", name, err)
	}
	_ = unix.Madvise(data, unix.MADV_DONTDUMP) // a core dump without it keeps the guest's secrets
	m := &Memory{data: data, fd: fd}
	m.holders.Store(1)
	return m, nil
}

// MapMemory maps a Memory of another process for looking at it, with one holder, the caller; fd becomes the Memory's, whatever happens. A file that its
// owner could shrink is refused.
func MapMemory(fd int) (*Memory, error) {
	m, err := mapMemory(fd)
	if err != nil {
		_ = unix.Close(fd)
	}
	return m, err
}

func mapMemory(fd int) (*Memory, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&unix.F_SEAL_SHRINK == 0 {
		return nil, fmt.Errorf("display: memory of another process that it could shrink (%v)", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("display: memory of another process: %w", err)
	}
	if st.Size <= 0 || st.Size > MaxBytes {
		return nil, fmt.Errorf("display: memory of another process of %d bytes, 1 to %d possible", st.Size, MaxBytes)
	}
	data, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("display: map memory of another process: %w", err)
	}
	m := &Memory{data: data, fd: fd}
	m.holders.Store(1)
	return m, nil
}

// Bytes are the memory, shared with the guest and with other processes: any byte may change at any moment.
func (m *Memory) Bytes() []byte { return m.data }

// FD is the memfd. It stays the Memory's: who wants to keep it duplicates it.
func (m *Memory) FD() int { return m.fd }

// Hold adds a holder. The caller must be sure that there is one already.
func (m *Memory) Hold() { m.holders.Add(1) }

// Release takes a holder away; the last one frees the memory.
func (m *Memory) Release() {
	if m.holders.Add(-1) > 0 {
		return
	}
	_ = unix.Munmap(m.data)
	_ = unix.Close(m.fd)
	m.data, m.fd = nil, -1
}
