package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// snap (MIB:COUNT:DEVICE) counts aloud, ten times a second, while it verifies a disk, so that the machine can be saved and go on in the midst of that. At the end memory of MIB that was
// filled before must be what it was, and the clock must not have gone backwards.
func snap(args string) error {
	parts := strings.SplitN(args, ":", 3)
	if len(parts) != 3 {
		return fmt.Errorf("three arguments expected")
	}
	mib, err := strconv.Atoi(parts[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(parts[1])
	if err != nil {
		return err
	}
	filled := make([]byte, mib<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(filled) // never fails
	want := sha256.Sum256(filled)
	disk := make(chan error, 1)
	go func() {
		for round := range 1 << 20 {
			if err := verifyDisk(fmt.Sprintf("%s:16:%d", parts[2], round)); err != nil {
				disk <- err
				return
			}
			select {
			case disk <- nil:
				return
			default:
			}
		}
	}()
	last := time.Now()
	for i := range count {
		time.Sleep(100 * time.Millisecond)
		now := time.Now()
		if now.Before(last) || now.Round(0).Before(last.Round(0)) {
			return fmt.Errorf("the clock went from %v to %v", last, now)
		}
		last = now
		say("snap: %d at %d ms", i+1, now.UnixMilli())
	}
	if err := <-disk; err != nil {
		return err
	}
	if got := sha256.Sum256(filled); !bytes.Equal(got[:], want[:]) {
		return fmt.Errorf("memory has changed")
	}
	return nil
}
