package swtpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newFake returns a TPM whose program the test plays at the other ends.
func newFake(t *testing.T) (tpm *TPM, control, data net.Conn) {
	c1, c2 := net.Pipe()
	d1, d2 := net.Pipe()
	t.Cleanup(func() {
		for _, c := range []io.Closer{c1, c2, d1, d2} {
			_ = c.Close()
		}
	})
	return &TPM{dir: "state", control: c1, data: d1}, c2, d2
}

// play answers one request of n bytes and gives it back.
func play(c net.Conn, n int, answer ...byte) chan []byte {
	got := make(chan []byte, 1)
	go func() {
		b := make([]byte, n)
		_, _ = io.ReadFull(c, b)
		_, _ = c.Write(answer)
		got <- b
	}()
	return got
}

func TestControl(t *testing.T) {
	tpm, control, _ := newFake(t)
	var a, b uint32
	got := play(control, 8, 0, 0, 0, 0, 0, 0, 0x0F, 0x80, 0, 0, 1, 2)
	if err := tpm.ask(cmdSetBufferSize, encode(cmdSetBufferSize, 3968), &a, &b); err != nil || a != 3968 || b != 0x102 {
		t.Errorf("%d %d %v", a, b, err)
	}
	if g := <-got; !bytes.Equal(g, []byte{0, 0, 0, 17, 0, 0, 0x0F, 0x80}) {
		t.Errorf("request % x", g)
	}
	play(control, 8, 0, 0, 0, 9)
	_, _ = tpm.said.Write([]byte(strings.Repeat("x", 2*tailSize) + "\nswtpm: it is locked\n"))
	if err := tpm.PowerOn(); err == nil || !strings.Contains(err.Error(), "state: ") || !strings.Contains(err.Error(), "0x9") || !strings.HasSuffix(err.Error(), "it is locked)") {
		t.Errorf("error %v", err)
	}
	_ = control.Close()
	if err := tpm.ask(cmdInit, encode(cmdInit, 0)); !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, io.EOF) {
		t.Errorf("error %v", err)
	}
}

func TestExecute(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		n      int
	}{
		"response": {"\x80\x01\x00\x00\x00\x0c\x00\x00\x00\x00ab", 12},
		"short":    {"\x80\x01\x00\x00\x00\x09\x00\x00\x00\x00", 0},
		"long":     {"\x80\x01\x00\x00\x00\x21\x00\x00\x00\x00", 0},
		"huge":     {"\x80\x01\xff\xff\xff\xff\x00\x00\x00\x00", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tpm, _, data := newFake(t)
			play(data, 10, []byte(c.answer)...)
			response := make([]byte, 32)
			n, err := tpm.Execute(make([]byte, 10), response)
			if n != c.n || (err == nil) != (n > 0) || string(response[:n]) != c.answer[:n] {
				t.Errorf("%d bytes % x, error %v", n, response[:n], err)
			}
		})
	}
	tpm, _, data := newFake(t)
	go func() {
		_, _ = io.ReadFull(data, make([]byte, 10))
		_, _ = data.Write([]byte{0x80, 1, 0, 0, 0, 12, 0, 0, 0, 0})
		_ = data.Close()
	}()
	if _, err := tpm.Execute(make([]byte, 10), make([]byte, 32)); err == nil {
		t.Error("half a response is one")
	}
}

// TestProgram speaks to the real one: it keeps its state, is locked to one machine, and ends.
func TestProgram(t *testing.T) {
	if _, err := Find(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "a folder, with a comma")
	start := func() *TPM {
		tpm, err := Start(dir, 3968)
		if err != nil {
			t.Fatal(err)
		}
		return tpm
	}
	var resets []uint32
	for range 2 {
		tpm := start()
		for range 2 {
			if err := tpm.PowerOn(); err != nil {
				t.Fatal(err)
			}
			execute(t, tpm, 0x144, 0, 0) // TPM2_Startup(TPM_SU_CLEAR)
			clock := execute(t, tpm, 0x181)
			resets = append(resets, binary.BigEndian.Uint32(clock[16:]))
		}
		second := start()
		if err := second.PowerOn(); err == nil || !strings.Contains(err.Error(), "lock") || !strings.Contains(err.Error(), dir) {
			t.Errorf("two machines share a TPM: %v", err)
		}
		for _, p := range []*TPM{second, tpm} {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for i, n := range resets {
		if n != resets[0]+uint32(i) {
			t.Errorf("counts of resets %v", resets)
		}
	}
}

// TestFolder has the folder of the state be made, be there, and be none, or a link to one elsewhere: that of a stranger's machine is not followed.
func TestFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	file, link, gone := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "gone")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(outside, link), os.Symlink(filepath.Join(outside, "new"), gone)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{filepath.Join(dir, "new"): true, dir: true, file: false, link: false, gone: false} {
		if err := makeFolder(path); (err == nil) != want || !want && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestProgramState takes what a TPM remembers to another one.
func TestProgramState(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Skip(err)
	}
	var state State
	var want []byte
	readPCR := []byte{0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0}
	for i := range 2 {
		tpm, err := Start(t.TempDir(), 3968)
		if err != nil {
			t.Fatal(err)
		}
		if err := tpm.PowerOn(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			execute(t, tpm, 0x144, 0, 0)
			event(t, tpm)
			want = execute(t, tpm, 0x17E, readPCR...)
			if state, err = tpm.Save(); err != nil {
				t.Fatal(err)
			}
		} else {
			if err := tpm.Restore(state); err != nil {
				t.Fatal(err)
			}
		}
		got := execute(t, tpm, 0x17E, readPCR...)
		if !bytes.Equal(got, want) || bytes.Equal(got[len(got)-32:], make([]byte, 32)) {
			t.Errorf("PCR 0 % x, want % x", got, want)
		}
		bad := State{Permanent: state.Permanent, Volatile: bytes.Repeat([]byte{7}, len(state.Volatile))}
		if err := tpm.Restore(bad); err == nil {
			t.Error("a broken state is taken")
		}
		if err := tpm.Close(); err != nil {
			t.Error(err)
		}
	}
}

// event extends PCR 0 by TPM2_PCR_Event, which takes a password session: handle, session, event.
func event(t *testing.T, tpm *TPM) {
	t.Helper()
	command := []byte{0x80, 0x02, 0, 0, 0, 0, 0, 0, 1, 0x3C, 0, 0, 0, 0, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'}
	command[5] = byte(len(command))
	b := make([]byte, 3968)
	if _, err := tpm.Execute(command, b); err != nil || binary.BigEndian.Uint32(b[6:]) != 0 {
		t.Fatalf("extend PCR 0: % x, %v", b[:headerSize], err)
	}
}

// TestProgramGone has the program die, and checks that the TPM fails rather than waits.
func TestProgramGone(t *testing.T) {
	if _, err := Find(); err != nil {
		t.Skip(err)
	}
	tpm, err := Start(t.TempDir(), 3968)
	if err != nil {
		t.Fatal(err)
	}
	if err := tpm.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := tpm.Execute(make([]byte, 10), make([]byte, 32)); err == nil {
		t.Error("a dead TPM answers")
	}
	if err := tpm.PowerOn(); err == nil {
		t.Error("a dead TPM starts")
	}
	if err := tpm.Close(); err == nil {
		t.Error("nobody hears that it was killed")
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Start(t.TempDir(), 3968); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "apt-get install swtpm") {
		t.Errorf("error %v", err)
	}
}

// execute carries out a command without sessions that has to succeed, and returns what follows the response's header.
func execute(t *testing.T, tpm *TPM, code uint32, arguments ...byte) []byte {
	t.Helper()
	be := binary.BigEndian
	command := be.AppendUint16(nil, 0x8001)
	command = be.AppendUint32(command, uint32(headerSize+len(arguments)))
	command = append(be.AppendUint32(command, code), arguments...)
	b := make([]byte, 3968)
	n, err := tpm.Execute(command, b)
	if err != nil {
		t.Fatal(err)
	}
	if rc := be.Uint32(b[6:]); rc != 0 {
		t.Fatalf("command %#x: response code %#x", code, rc)
	}
	return b[headerSize:n]
}
