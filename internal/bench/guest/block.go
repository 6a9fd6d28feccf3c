package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/images/guest/setup"
	"github.com/sharevm/vmm/internal/bench/blockload"
)

// block does every load to the first disk.
func block() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	const disk, limit = "/dev/vda", 10 * time.Second
	if err := setup.WaitFor(disk, limit); err != nil {
		return err
	}
	fd, err := unix.Open(disk, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", disk, err)
	}
	defer unix.Close(fd)
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return fmt.Errorf("size of %s: %w", disk, err)
	}
	for _, l := range blockload.Loads {
		if err := run(l, fd, size); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	return nil
}

// run does one load, uncounted at first.
func run(l blockload.Load, fd int, size int64) error {
	a, err := newAccesses(l, fd, size)
	if err != nil {
		return err
	}
	defer a.close()
	if _, err := a.during(blockload.WarmUp); err != nil {
		return err
	}
	say(blockload.Begin(l.Name))
	n, err := a.during(blockload.Duration)
	if err != nil {
		return err
	}
	say(blockload.End(l.Name, n))
	return nil
}

// accesses issues what a load consists of. Loads of some depth go by the kernel's native asynchronous I/O, and all system calls past Go's
// scheduler: what is to be measured is the disk.
type accesses struct {
	blockload.Load
	fd     int
	blocks uint64 // of Size, on the disk
	next   uint64 // block, of a sequential load
	random *rand.PCG
	memory []byte // Size for each access in flight
	aio    *aio   // nil at depth 1
}

func newAccesses(l blockload.Load, fd int, size int64) (*accesses, error) {
	memory, err := unix.Mmap(-1, 0, l.Size*l.Depth, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	for i := range memory {
		memory[i] = byte(i%255) + 1 // what is written is not zeroes
	}
	a := &accesses{Load: l, fd: fd, blocks: uint64(size) / uint64(l.Size), random: rand.NewPCG(1, 2), memory: memory}
	if l.Depth > 1 {
		if a.aio, err = newAIO(l.Depth); err != nil {
			_ = unix.Munmap(memory)
			return nil, err
		}
	}
	return a, nil
}

func (a *accesses) close() {
	if a.aio != nil {
		a.aio.close()
	}
	_ = unix.Munmap(a.memory)
}

// offset is where the next access goes.
func (a *accesses) offset() int64 {
	block := a.next
	if a.Random {
		block = a.random.Uint64()
	}
	a.next++
	return int64(block % a.blocks * uint64(a.Size))
}

// during keeps the disk busy for a while and returns how many accesses were completed.
func (a *accesses) during(d time.Duration) (int, error) {
	end := time.Now().Add(d)
	if a.aio != nil {
		return a.deep(end)
	}
	n := 0
	for ; time.Now().Before(end); n++ {
		if err := transfer(a.fd, a.memory, a.offset(), a.Write); err != nil {
			return n, err
		}
	}
	return n, nil
}

// deep keeps Depth accesses in flight until end, and then waits for them.
func (a *accesses) deep(end time.Time) (int, error) {
	for i := range a.Depth {
		a.prepare(i)
	}
	done, flying := 0, 0
	for stop := false; ; {
		n, err := a.aio.submit()
		if flying += n; err != nil {
			return done, err
		}
		if flying == 0 {
			return done, nil
		}
		finished, err := a.aio.wait(a.Size)
		if err != nil {
			return done, err
		}
		done, flying = done+len(finished), flying-len(finished)
		if stop = stop || !time.Now().Before(end); stop {
			continue
		}
		for i := range finished {
			a.prepare(int(finished[i].data))
		}
	}
}

// prepare puts an access in slot i among those that the next submit starts.
func (a *accesses) prepare(i int) {
	a.aio.prepare(i, a.fd, a.memory[i*a.Size:][:a.Size], a.offset(), a.Write)
}
