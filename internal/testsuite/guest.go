package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"time"

	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/images/testguest/kit"
	"github.com/sharevm/vmm/vmm/host"
	"github.com/sharevm/vmm/vmm/kvm"
)

const (
	// guestLimit bounds the guest tests as a whole; they take a third of it on two quiet cores.
	guestLimit = 30 * time.Minute
	// matrixLimit bounds the 22 boots of the matrix.
	matrixLimit = 2 * time.Hour
	// nestedMemory in MiB holds the largest guest, of 4.5 GiB, and the images that tests keep in memory.
	nestedMemory = 7168
)

// guest builds the test binaries, and runs them where ordinary guests run.
func (s *suite) guest(ctx context.Context, c *count) error {
	say := func(line string) { fmt.Println("  " + line) }
	if err := kit.Make(ctx, abs(out+"/kit"), say); err != nil {
		return err
	}
	packages := append([]string{guestPackage}, kvmPackages...)
	for _, p := range packages {
		if err := build(ctx, p); err != nil {
			return err
		}
	}
	env := append([]string{"VMM_TEST_KVM=require", "VMM_GUEST_TESTS=" + abs(out+"/kit"), "VMM_BIN=" + abs("bin/vmm"), "VMM_TEST_ROOT=1"}, s.env...)
	// One shell runs all binaries, so that the nested host is booted once.
	script := "status=0\n"
	for _, p := range packages {
		run := ""
		if s.run != "" {
			run = fmt.Sprintf(" -test.run '%s'", s.run)
		}
		script += fmt.Sprintf("%s -test.v -test.timeout %v%s || status=1\n", binary(p), cmp.Or(s.limit, guestLimit), run)
	}
	script += "exit $status\n"
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		readVerbose(r, c, s.verbose)
	}()
	err = s.where(ctx, c, script, env, w)
	_ = w.Close()
	<-done
	return errors.Join(err, s.nestedItself(ctx, c))
}

// kiosk runs the tests that look at the screen of a nested host from outside.
func (s *suite) kiosk(ctx context.Context, c *count) error {
	if err := kit.Make(ctx, abs(out+"/kit"), func(line string) { fmt.Println("  " + line) }); err != nil {
		return err
	}
	return s.goTest(ctx, c, []string{kioskPackage}, "VMM_TEST_KIOSK=1", "VMM_GUEST_TESTS="+abs(out+"/kit"), "VMM_BIN="+abs("bin/vmm"))
}

// viewers runs the tests that look at screens with other people's programs.
func (s *suite) viewers(ctx context.Context, c *count) error {
	return s.goTest(ctx, c, viewerPackages)
}

// nestedItself runs the tests of the nested host, which boot it from outside.
func (s *suite) nestedItself(ctx context.Context, c *count) error {
	if s.env != nil { // a soak wants nothing else
		return nil
	}
	return s.goTest(ctx, c, nestedPackages, "VMM_TEST_NESTED=1", "VMM_GUEST_TESTS="+abs(out+"/kit"), "VMM_BIN="+abs("bin/vmm"))
}

// where runs the script on this host's KVM if that runs ordinary guests, and in the nested host otherwise.
func (s *suite) where(ctx context.Context, c *count, script string, env []string, w *os.File) error {
	env = append(os.Environ(), env...)
	if ordinaryKVM() {
		c.note = " (on this host's KVM)"
		cmd := exec.CommandContext(ctx, "sh", "-c", script)
		cmd.Env, cmd.Stdout, cmd.Stderr = env, w, w
		return cmd.Run()
	}
	c.note = " (in the nested host)"
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	status, err := nested.Run(ctx, nested.Config{
		Args: []string{"sh", "-c", script}, Env: env, Stdin: null, Stdout: w, Stderr: w, MemoryMiB: nestedMemory, Timeout: cmp.Or(s.limit, guestLimit),
		Progress: func(line string) { fmt.Println("  " + line) },
	})
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("exit status %d", status)
	}
	return nil
}

func ordinaryKVM() bool {
	sys, err := kvm.Open("")
	if err != nil {
		return false
	}
	defer sys.Close()
	kind, err := host.Classify(sys)
	return err == nil && kind == host.Ordinary
}

// binary is the path of a package's compiled tests.
func binary(pkg string) string { return abs(out + "/" + path.Base(pkg) + ".test") }

func build(ctx context.Context, pkg string) error {
	b, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary(pkg), pkg).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("compile the tests of %s", pkg), errors.New(string(b)))
	}
	return nil
}
