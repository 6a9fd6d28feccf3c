package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
)

// TestSerialFile has a guest send by a port that leads to a file, in two power cycles, by one that leads nowhere, and by one of a machine that forgets what it writes.
func TestSerialFile(t *testing.T) {
	send := func(m *Machine, text string) {
		t.Helper()
		b := &board{m: m, verdict: newVerdict()}
		for _, step := range []func() error{b.addMemory, b.addVM, b.addPlatform} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []byte(text) {
			for _, n := range []int{0, 1} {
				b.vm.Ports.Write(uint64(layout.SerialPorts[n]), []byte{c})
			}
		}
		if err := b.close(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "com1.log")
	for _, forgets := range []bool{false, true} {
		s := newStand(t, pcBoard)
		s.m.opt.Discard = forgets
		s.m.cfg.Serials = []config.Serial{{Index: 0, Kind: config.SerialFile, Path: path, Connected: true}, {Index: 1, Kind: config.SerialPipe, Path: path + ".sock", Connected: true}}
		if err := s.m.openSerials(); err != nil {
			t.Fatal(err)
		}
		send(s.m, "one ")
		send(s.m, "two")
		if b, err := os.ReadFile(path); err != nil || string(b) != "one two" {
			t.Errorf("forgets %t: the file holds %q, %v", forgets, b, err)
		}
	}
	// It is appended to, up to a limit; and a link is not followed.
	s := newStand(t, pcBoard)
	s.m.opt.Discard = false
	s.m.cfg.Serials = []config.Serial{{Index: 0, Kind: config.SerialFile, Path: path, Connected: true}}
	if err := s.m.openSerials(); err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte{'x'}, 1<<20)
	for range maxSerialFile>>20 + 3 {
		if n, err := s.m.serials[0].Write(chunk); n != len(chunk) || err != nil {
			t.Fatal(n, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len("one two")+maxSerialFile) {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	s.m.cfg.Serials[0].Path = link
	if err := s.m.openSerials(); err == nil || !strings.Contains(err.Error(), "serial0.fileName") {
		t.Errorf("a link: %v", err)
	}
}
