package main

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// kvmPackages hold payload tests: they run by themselves, and again in the nested host.
var kvmPackages = []string{"github.com/sharevm/vmm/vmm", "github.com/sharevm/vmm/vmm/host"}

// nestedPackages have tests that boot the nested host themselves.
var nestedPackages = []string{"github.com/sharevm/vmm/images/nested", "github.com/sharevm/vmm/images/guest", "github.com/sharevm/vmm/internal/nestedtest"}

// guestPackage holds the tests with real guests.
const guestPackage = "github.com/sharevm/vmm/internal/guesttest"

// kioskPackage holds the tests of a host's own screen; without -kiosk they are skipped.
const kioskPackage = "github.com/sharevm/vmm/internal/kiosktest"

// viewerPackages hold the tests with other people's viewers, which are skipped where those are missing.
var viewerPackages = []string{"github.com/sharevm/vmm/display/vnc", "github.com/sharevm/vmm/display/web", "github.com/sharevm/vmm/display/x11"}

// plain runs all other packages.
func (s *suite) plain(ctx context.Context, c *count) error {
	b, err := exec.CommandContext(ctx, "go", "list", "./...").Output()
	if err != nil {
		return err
	}
	packages := slices.DeleteFunc(strings.Fields(string(b)), func(p string) bool {
		return p == guestPackage || p == kioskPackage || slices.Contains(kvmPackages, p) || slices.Contains(nestedPackages, p)
	})
	return s.goTest(ctx, c, packages)
}

// payload runs the packages that need no more than a /dev/kvm that opens.
func (s *suite) payload(ctx context.Context, c *count) error {
	return s.goTest(ctx, c, kvmPackages)
}

func (s *suite) goTest(ctx context.Context, c *count, packages []string, env ...string) error {
	// Go's cache of results does not know of installed programs and of KVM, on which these tests depend.
	args := []string{"test", "-json", "-count", "1", "-timeout", "10m"}
	if s.run != "" {
		args = append(args, "-run", s.run)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readJSON(pipe, c, s.verbose)
	return cmd.Wait()
}

func contains(list, word string) bool { return slices.Contains(strings.Split(list, ","), word) }
