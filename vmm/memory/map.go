package memory

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Backing says what kind of host memory a guest's RAM is made of.
type Backing int

const (
	// Auto takes Memfd where the host gives a memfd transparent huge pages, and Anonymous otherwise: with small pages each
	// 4 KiB that a guest touches first costs a fault in the host, which is most of a short boot.
	Auto Backing = iota
	// Memfd is a file that another process can map (memfd_create(2)).
	Memfd
	// Anonymous is private memory.
	Anonymous
	// HugeTLB is a memfd of reserved 2 MiB pages (/proc/sys/vm/nr_hugepages).
	HugeTLB
)

// Reading says how much is read of the file behind RAM where a page of it is touched that is not in the page cache.
type Reading int

const (
	// Wide is for a guest of which nobody knows what it will need: 4 MiB at a time, so that soon all is there.
	Wide Reading = iota
	// Near is for one that has what it needs fetched by Prefetch: as much as of any file.
	Near
	// Single is the page alone. The page cache then holds what was touched, if it held nothing of the file before (Uncache), and Resident tells no more.
	Single
)

const hugePage = 2 << 20

// Config describes a guest's RAM.
type Config struct {
	Size uint64 // bytes, a multiple of the page size
	// LowLimit is where RAM below the PCI hole ends at the latest; the rest continues at HighBase.
	LowLimit uint64
	HighBase uint64
	Backing  Backing
	// Mergeable lets the host keep equal pages of several guests once (KSM, where /sys/kernel/mm/ksm/run is 1). Guests can then find out
	// by the time that a write takes whether another has a certain page. It needs anonymous memory, which Auto chooses then.
	Mergeable bool
	// From, which may be nil, is a file that holds what RAM begins with, as WriteTo wrote it. Its pages are mapped, and copied as they are written
	// to: that takes no time that depends on their number, and several guests share those that none has changed. It must stay as it is for as long as
	// the Guest lives; the descriptor may be closed. Backing must be Auto or Anonymous then.
	From *os.File
	// Reading is for From.
	Reading Reading
}

// New reserves a guest's RAM. The host's pages are taken as the guest touches them.
func New(c Config) (*Guest, error) {
	page := uint64(os.Getpagesize())
	if c.Size == 0 || c.Size%page != 0 || c.LowLimit%hugePage != 0 || c.LowLimit == 0 || c.HighBase < c.LowLimit {
		return nil, fmt.Errorf("memory: bad size %d or layout (low limit %#x, high base %#x)", c.Size, c.LowLimit, c.HighBase)
	}
	if err := CheckHost(c.Size); err != nil {
		return nil, err
	}
	if c.Mergeable && c.Backing != Auto && c.Backing != Anonymous {
		return nil, errors.New("memory: huge pages and shared memory cannot be merged with other guests' (KSM): leave one of the two out")
	}
	if err := c.checkFrom(); err != nil {
		return nil, err
	}
	g := &Guest{fd: -1, size: c.Size, private: c.From != nil}
	if c.Backing == Auto {
		c.Backing = Anonymous
		if !c.Mergeable && c.From == nil && shmemHugePages() {
			c.Backing = Memfd
		}
	}
	if c.Backing != Anonymous {
		fd, err := newMemfd(c.Size, c.Backing == HugeTLB)
		if err != nil {
			return nil, err
		}
		g.fd = fd
	}
	switch c.Backing {
	case Anonymous:
		g.advice = unix.MADV_DONTNEED
	case Memfd:
		g.advice = unix.MADV_REMOVE
	}
	low := min(c.Size, c.LowLimit)
	for _, r := range []struct{ base, size, off uint64 }{{0, low, 0}, {c.HighBase, c.Size - low, low}} {
		if r.size == 0 {
			continue
		}
		host, err := g.mapRegion(r.off, r.size, &c)
		if err != nil {
			_ = g.Close()
			return nil, err
		}
		g.regions = append(g.regions, Region{Base: r.base, Host: host, FileOffset: int64(r.off)})
		if c.Mergeable {
			if err := unix.Madvise(host, unix.MADV_MERGEABLE); err != nil {
				_ = g.Close()
				return nil, fmt.Errorf("memory: let the host merge equal pages (KSM): %w", err)
			}
		}
	}
	return g, nil
}

// Close unmaps RAM that New reserved. No vCPU, device or slice may use it any more.
func (g *Guest) Close() error {
	var errs []error
	for _, r := range g.regions {
		errs = append(errs, munmap(r.Host))
	}
	g.regions = nil
	if g.fd >= 0 {
		errs = append(errs, unix.Close(g.fd))
		g.fd = -1
	}
	return errors.Join(errs...)
}

// FD returns the memfd behind the RAM, or -1 for anonymous memory.
func (g *Guest) FD() int { return g.fd }

// checkFrom sees that all of RAM lies in the file: a page beyond its end would kill the process that touches it.
func (c *Config) checkFrom() error {
	if c.From == nil {
		return nil
	}
	if c.Backing != Auto && c.Backing != Anonymous {
		return errors.New("memory: RAM from a file can be neither shared nor reserved huge pages")
	}
	info, err := c.From.Stat()
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	if !info.Mode().IsRegular() || uint64(info.Size()) != c.Size {
		return fmt.Errorf("memory: %s has %d bytes, the machine's RAM %d", c.From.Name(), info.Size(), c.Size)
	}
	return nil
}

func (g *Guest) mapRegion(off, size uint64, c *Config) ([]byte, error) {
	b, from := c.Backing, c.From
	fd, flags := g.fd, unix.MAP_SHARED|unix.MAP_NORESERVE
	switch b {
	case Anonymous:
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
		if from != nil {
			fd, flags = int(from.Fd()), unix.MAP_PRIVATE|unix.MAP_NORESERVE
		}
	case HugeTLB:
		// Reserved now, or the first touch of a page that is not there kills the process.
		flags = unix.MAP_SHARED
	}
	host, err := mmapAligned(fd, int64(off), size, flags)
	if err != nil && b == HugeTLB {
		return nil, fmt.Errorf("memory: map %d MiB of huge pages: %w: reserve them (sudo sysctl vm.nr_hugepages=%d), or do without", size>>20, err, g.size/hugePage)
	}
	if err != nil {
		return nil, fmt.Errorf("memory: map %d MiB of guest RAM: %w", size>>20, err)
	}
	// None is essential: huge pages save faults, and a core dump without guest RAM keeps the guest's secrets. Of a file the kernel copies small pages all the same, but reads it by two
	// huge ones (do_sync_mmap_readahead).
	switch {
	case from == nil || c.Reading == Wide:
		_ = unix.Madvise(host, unix.MADV_HUGEPAGE)
	case c.Reading == Single:
		_ = unix.Madvise(host, unix.MADV_RANDOM)
	}
	_ = unix.Madvise(host, unix.MADV_DONTDUMP)
	return host, nil
}

func newMemfd(size uint64, huge bool) (int, error) {
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if huge {
		if size%hugePage != 0 {
			return -1, fmt.Errorf("memory: huge pages need a multiple of 2 MiB, not %d bytes", size)
		}
		flags |= unix.MFD_HUGETLB | unix.MFD_HUGE_2MB
	}
	fd, err := unix.MemfdCreate("vmm-guest-ram", flags)
	if err != nil {
		return -1, fmt.Errorf("memory: create memfd: %w", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("memory: size memfd to %d MiB: %w", size>>20, err)
	}
	// A peer that is handed the file must not be able to shrink it under us, which would turn our accesses into SIGBUS.
	_, _ = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return fd, nil
}

// CheckHost refuses RAM that the host cannot have with a TooLargeError, instead of letting the host's OOM killer find out in mid-run.
func CheckHost(size uint64) error {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return fmt.Errorf("memory: sysinfo: %w", err)
	}
	total := uint64(si.Totalram) * uint64(si.Unit)
	if size > total {
		return &TooLargeError{Want: size, Have: total}
	}
	return nil
}

// TooLargeError is a guest with more RAM than its host.
type TooLargeError struct{ Want, Have uint64 }

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the guest wants %d MiB of memory and this host has %d MiB; give it less with --mem", e.Want>>20, e.Have>>20)
}

// Prepare looks at what New depends on in the host's file system, for a process that will not reach it later.
func Prepare() { shmemHugePages() }

var shmemHugePages = sync.OnceValue(func() bool {
	b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
	if err != nil {
		return false
	}
	for _, on := range []string{"[always]", "[within_size]", "[advise]", "[force]"} {
		if strings.Contains(string(b), on) {
			return true
		}
	}
	return false
})
