package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Names of the machines of a session: the one that is in front at first, and the other.
const (
	frontName  = "front"
	behindName = "behind"
)

// sessionOf is a session of two machines that forget what they write.
type sessionOf struct {
	f     *files
	cmd   *exec.Cmd
	out   io.ReadCloser
	lines *bufio.Scanner
	said  tail
}

// startSession starts one whose screen VNC viewers see at screenPort. keys are what the machines' .vmx say besides their names.
func startSession(ctx context.Context, f *files, front, behind [][2]string, options ...string) (*sessionOf, error) {
	if err := f.openSockets(); err != nil {
		return nil, err
	}
	args := append([]string{"session", fmt.Sprint("--vnc=", screenPort), "--run-option=--allow-outside", "--run-option=--no-log"}, options...)
	for _, m := range []struct {
		name string
		keys [][2]string
	}{{frontName, front}, {behindName, behind}} {
		var b strings.Builder
		for _, kv := range append([][2]string{
			{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
			{"displayName", m.name}, {"memsize", strconv.Itoa(ramMiB)}, {"vmm.overlay", "disposable"},
		}, m.keys...) {
			fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
		}
		vmx := filepath.Join(f.dir, m.name+".vmx")
		if err := os.WriteFile(vmx, []byte(b.String()), 0o644); err != nil {
			return nil, err
		}
		args = append(args, vmx)
	}
	s := &sessionOf{f: f, cmd: exec.CommandContext(ctx, f.vmm, args...)}
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	var err error
	if s.out, err = s.cmd.StderrPipe(); err != nil {
		return nil, err
	}
	s.lines = bufio.NewScanner(s.out)
	return s, s.cmd.Start()
}

// line is the next line that the session says.
func (s *sessionOf) line() (string, error) {
	if !s.lines.Scan() {
		return "", errors.Join(fmt.Errorf("the session ended; its last words: %v", &s.said), s.lines.Err())
	}
	s.said.add(s.lines.Text())
	return s.lines.Text(), nil
}

// end ends the session, and its machines by their power.
func (s *sessionOf) end() {
	for range 2 { // the second signal does not wait for guests
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	_, _ = io.Copy(io.Discard, s.out)
	_ = s.cmd.Wait() // it was killed
}

// vmm runs a command on one of its machines.
func (s *sessionOf) vmm(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, s.f.vmm, args...).Output()
	if err != nil {
		err = fmt.Errorf("vmm %v: %w", args, err)
	}
	return out, err
}

// process is that of a machine, nil while it is not listed.
func (s *sessionOf) process(ctx context.Context, name string) (*os.Process, error) {
	out, err := s.vmm(ctx, "ps", "--json")
	if err != nil {
		return nil, err
	}
	var all []struct {
		ID  string
		PID int
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID == name && m.PID > 0 {
			return os.FindProcess(m.PID)
		}
	}
	return nil, nil
}

// fromDisk are the keys of a machine that boots by its firmware: BIOS, GRUB, a kernel.
func (f *files) fromDisk() [][2]string {
	return [][2]string{
		{"firmware", "bios"}, {"vmm.console", "serial0"}, {"scsi0.present", "TRUE"}, {"scsi0.virtualDev", "virtio"}, {"scsi0:0.present", "TRUE"}, {"scsi0:0.fileName", f.bootDisk},
		{"ethernet0.present", "TRUE"}, {"ethernet0.connectionType", "nat"}, {"vmm.ethernet0.virtualDev", "virtio"},
	}
}
