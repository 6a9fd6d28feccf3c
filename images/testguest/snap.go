package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// snap (MIB:COUNT:DEVICE[+DEVICE...][:URL]) counts aloud, ten times a second, while it verifies disks and fetches a page, so that the machine can be saved and go on in
// the midst of that. At the end memory of MIB that was filled before must be what it was, and the clock must not have gone backwards.
func snap(args string) error {
	parts := strings.SplitN(args, ":", 4)
	if len(parts) < 3 {
		return fmt.Errorf("three or four arguments expected")
	}
	mib, err := strconv.Atoi(parts[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(parts[1])
	if err != nil {
		return err
	}
	filled, err := offHeap(mib)
	if err != nil {
		return err
	}
	_, _ = rand.NewChaCha8([32]byte{7}).Read(filled) // never fails
	want := sha256.Sum256(filled)
	var work sync.WaitGroup
	counted := make(chan struct{})
	failed := make(chan error, 16)
	for _, disk := range strings.Split(parts[2], "+") {
		work.Go(func() { keepVerifying(disk, counted, failed) })
	}
	if len(parts) > 3 {
		if err := online(); err != nil {
			return err
		}
		work.Go(func() { keepFetching(parts[3], counted, failed) })
	}
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
	close(counted)
	work.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	if got := sha256.Sum256(filled); !bytes.Equal(got[:], want[:]) {
		return fmt.Errorf("memory has changed")
	}
	return nil
}

// keepVerifying verifies a disk again and again until end, and at least once.
func keepVerifying(disk string, end <-chan struct{}, failed chan<- error) {
	for round := 0; ; round++ {
		if err := verifyDisk(fmt.Sprintf("%s:4:%d", disk, round)); err != nil {
			failed <- fmt.Errorf("%s: %w", disk, err)
			return
		}
		select {
		case <-end:
			return
		default:
		}
	}
}

// keepFetching fetches a page again and again until end, and then must be able to once more. What fails before is a connection that was open when the machine was saved.
func keepFetching(url string, end <-chan struct{}, failed chan<- error) {
	client := http.Client{Timeout: 20 * time.Second}
	get := func() (sum [sha256.Size]byte, err error) {
		r, err := client.Get(url)
		if err != nil {
			return sum, err
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		return sha256.Sum256(b), err
	}
	var first [sha256.Size]byte
	var good, bad int
	for last := false; ; {
		select {
		case <-end:
			last = true
		default:
		}
		start := time.Now()
		sum, err := get()
		switch {
		case err != nil:
			bad++
			say("snap: after %d ms: %v", time.Since(start).Milliseconds(), err)
		case good > 0 && sum != first:
			failed <- fmt.Errorf("%s has changed", url)
			return
		default:
			first = sum
			good++
		}
		if last && err == nil {
			say("snap: %d pages, %d failed", good, bad)
			return
		}
		if last && bad > good {
			failed <- err
			return
		}
	}
}
