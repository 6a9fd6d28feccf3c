package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

// TestKeysReachTheMonitor has a guest that takes no input at all: what was typed must not keep the user from powering it off.
func TestKeysReachTheMonitor(t *testing.T) {
	off := make(chan struct{})
	ui := &consoleUI{messages: io.Discard, raw: true, powerOff: func() { close(off) }}
	guest, typing := io.Pipe()
	defer guest.Close()
	go ui.pump(strings.NewReader(strings.Repeat("x", 1<<20)+"\x1dq"), typing)
	select {
	case <-off:
	case <-time.After(20 * time.Second):
		t.Fatal("the key does not arrive")
	}
}

// TestTypingReachesASlowGuest pastes much more than is held for the guest, which takes all of it a little at a time.
func TestTypingReachesASlowGuest(t *testing.T) {
	const pasted = 1 << 20
	ui := &consoleUI{messages: io.Discard, raw: true}
	guest, typing := io.Pipe()
	go ui.pump(strings.NewReader(strings.Repeat("x", pasted)), typing)
	got, buf := 0, make([]byte, 16)
	for {
		n, err := guest.Read(buf)
		if got += n; err != nil {
			break
		}
	}
	if got != pasted {
		t.Errorf("%d bytes of %d arrived", got, pasted)
	}
}
