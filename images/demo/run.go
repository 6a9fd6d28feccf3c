package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/sharevm/vmm/vmm/host"
	"github.com/sharevm/vmm/vmm/kvm"
	"golang.org/x/term"
)

// run boots the machine: for a person at a terminal, or to check itself. It returns the exit status.
func run(ctx context.Context, vmm, folder string, timeout time.Duration) (int, error) {
	vmm, err := filepath.Abs(vmm)
	if err != nil {
		return 0, err
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		return 0, interactive(vmm, folder)
	}
	if ordinary() || os.Getenv("VMM_NESTED") != "" {
		return 0, check(ctx, vmm, folder, timeout)
	}
	return inNested(ctx, vmm, folder, timeout)
}

// ordinary says whether this host's KVM runs ordinary guests.
func ordinary() bool {
	sys, err := kvm.Open("")
	if err != nil {
		return false
	}
	defer sys.Close()
	kind, err := host.Classify(sys)
	return err == nil && kind == host.Ordinary
}

// termName is what a TERM may be to be passed on by a kernel's command line.
var termName = regexp.MustCompile(`^[A-Za-z0-9+._-]{1,40}$`)

// interactive becomes vmm, with the machine's console on the terminal. It returns only when that fails.
func interactive(vmm, folder string) error {
	args := []string{vmm, "run", "--nested=auto", "--timeline"}
	if t := os.Getenv("TERM"); termName.MatchString(t) {
		args = append(args, "--append", "TERM="+t)
	}
	err := syscall.Exec(vmm, append(args, filepath.Join(folder, vmxName)), os.Environ())
	return fmt.Errorf("starting %s: %w", vmm, err)
}

// nestedStart is the environment variable that carries the time of the start into the nested host, in milliseconds of Unix time.
const nestedStart = "DEMO_START"

// inNested runs this command again in the nested host, server and all: there the guest's way to the host is a short one.
func inNested(ctx context.Context, vmm, folder string, timeout time.Duration) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, vmm, "nested", "--mem", "768M", "--share", folder, "--",
		self, "run", "--vmm", vmm, "--timeout", timeout.String(), folder)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", nestedStart, time.Now().UnixMilli()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil // it has said why
	}
	return 0, err
}
