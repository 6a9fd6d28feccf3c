package guesttest

import (
	"fmt"
	"testing"
)

// TestTypedAhead types at a VNC viewer as soon as that can connect, long before its machine goes on from a snapshot: the guest gets every key, in order.
func TestTypedAhead(t *testing.T) {
	const at, keys = "127.0.0.1:5944", 12 // Linux keeps that for a program that does not read yet
	f := instantFile(t)
	f.set("vmm.instant", "FALSE")
	saved := f.start(t)
	saved.expect("^waiting for events$")
	vmm(t, "snapshot", "save", "web", "ready")
	vmm(t, "stop", "--hard", "web")
	if err := saved.wait(); err != nil {
		t.Error(err)
	}
	g := f.start(t, "--from=ready", "--vnc="+at)
	v := dialViewer(t, at)
	f1to10 := []byte{0xbe, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7}
	for i := range keys {
		v.key(f1to10[i%10])
	}
	for i := range keys {
		for down := 1; down >= 0; down-- {
			if got, want := g.expect(`^event (\d 1 .*)$`)[1], fmt.Sprintf("0 1 %d %d", 59+i%10, down); got != want {
				t.Fatalf("key %d: event %s, want %s", i, got, want)
			}
		}
	}
	v.key(symF12)
	g.finish()
}
