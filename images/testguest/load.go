package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// loadPeriod is how often a load says how far it is.
const loadPeriod = 250 * time.Millisecond

// load (DEVICE:BLOCK:THREADS) reads blocks of so many bytes at random places, without end, and says "load N" for the blocks so far.
func load(args string) error {
	name, _, _ := strings.Cut(args, ":")
	probe, n, err := openWith(args, 2)
	if err != nil {
		return err
	}
	defer probe.Close()
	block, blocks := n[0], probe.size/n[0]
	if block%512 != 0 || blocks == 0 {
		return fmt.Errorf("blocks of %d bytes on a disk of %d", block, probe.size)
	}
	var done atomic.Int64
	failed := make(chan error, n[1])
	for range n[1] {
		go func() {
			d, err := openDevice(name)
			for buf := aligned(int(block)); err == nil; done.Add(1) {
				_, err = d.ReadAt(buf, rand.Int64N(blocks)*block)
			}
			failed <- err
		}()
	}
	return tell(&done, failed)
}

// drain (URL) gets a page without end, and says "load N" for the bytes so far.
func drain(url string) error {
	if err := online(); err != nil {
		return err
	}
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var done atomic.Int64
	failed := make(chan error, 1)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(buf)
			done.Add(int64(n))
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return tell(&done, failed)
}

// tell says how far a load is until it fails.
func tell(done *atomic.Int64, failed <-chan error) error {
	for tick := time.NewTicker(loadPeriod); ; {
		select {
		case err := <-failed:
			return err
		case <-tick.C:
			say("load %d", done.Load())
		}
	}
}
