package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// useMemory (MIB) takes that much memory, says "memory taken", waits for a line on the console, gives the memory back and says "memory
// given back".
func useMemory(args string) error {
	mib, err := strconv.Atoi(args)
	if err != nil {
		return err
	}
	b, err := offHeap(mib)
	if err != nil {
		return err
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	say("memory taken")
	var key [1]byte
	if _, err := unix.Read(unix.Stdin, key[:]); err != nil {
		return err
	}
	if err := unix.Munmap(b); err != nil {
		return err
	}
	say("memory given back")
	return nil
}

// offHeap is memory of so many MiB beside Go's heap, which lets garbage grow to as much as all that is alive: more than a small guest has.
func offHeap(mib int) ([]byte, error) {
	return unix.Mmap(-1, 0, mib<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
}
