package browser

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/internal/debian"
)

// seeds are the packages that are wanted for themselves. What they depend on comes with them, as far as it is used.
var seeds = []string{
	"cage", "chromium",
	"fonts-dejavu-core", "fonts-droid-fallback", "fonts-liberation", "fonts-noto-color-emoji",
	"libc-bin", "libinput-bin", "xkb-data",
}

// kernelMeta depends on the newest kernel of the flavour that has graphics.
const kernelMeta = "linux-image-amd64"

// kernelPackage is what kernel packages are called.
const kernelPackage = "linux-image-"

//go:embed packages.lock
var lockText string

// parseLock reads one pin a line; lines that begin with # and empty ones are skipped.
func parseLock(text string) ([]debian.Pin, error) {
	var pins []debian.Pin
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		if line := strings.TrimSpace(sc.Text()); line != "" && !strings.HasPrefix(line, "#") {
			p, err := debian.ParsePin(line)
			if err != nil {
				return nil, fmt.Errorf("packages.lock: %w", err)
			}
			pins = append(pins, p)
		}
	}
	return pins, nil
}

// Lock returns the text of a new packages.lock: the newest versions that apt knows of, as far as the machine uses them.
func Lock(ctx context.Context, progress debian.Progress) (string, error) {
	store, err := debian.Open("", progress)
	if err != nil {
		return "", err
	}
	pins, err := store.Resolve(ctx, seeds)
	if err != nil {
		return "", err
	}
	kernels, err := store.Resolve(ctx, []string{kernelMeta})
	if err != nil {
		return "", err
	}
	packages, err := unpack(ctx, store, pins)
	if err != nil {
		return "", err
	}
	_, used, err := contents(packages)
	if err != nil {
		return "", err
	}
	pins = slices.DeleteFunc(pins, func(p debian.Pin) bool { return !used[p.Name] })
	for _, p := range kernels {
		if strings.HasPrefix(p.Name, kernelPackage) && p.Name != kernelMeta {
			pins = append(pins, p)
		}
	}
	slices.SortFunc(pins, func(a, b debian.Pin) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString("# The packages of the browser machine: name, version, SHA-256 of the file. Made by: vmm image build browser --update-lock\n")
	for _, p := range pins {
		fmt.Fprintln(&b, p)
	}
	return b.String(), nil
}

// unpacked is a package's folder.
type unpacked struct {
	debian.Pin
	dir string
}

// unpack fetches what is not there yet.
func unpack(ctx context.Context, store *debian.Store, pins []debian.Pin) ([]unpacked, error) {
	dirs, err := store.Pinned(ctx, pins)
	if err != nil {
		return nil, err
	}
	var all []unpacked
	for i, p := range pins {
		all = append(all, unpacked{p, filepath.Clean(dirs[i])})
	}
	return all, nil
}

// splitKernel takes the kernel's package out of all.
func splitKernel(all []unpacked) (kernel unpacked, rest []unpacked, err error) {
	for _, p := range all {
		switch {
		case !strings.HasPrefix(p.Name, kernelPackage):
			rest = append(rest, p)
		case kernel.Name != "":
			return kernel, nil, fmt.Errorf("packages.lock: two kernels, %s and %s", kernel.Name, p.Name)
		default:
			kernel = p
		}
	}
	if kernel.Name == "" {
		return kernel, nil, fmt.Errorf("packages.lock: no kernel (%s...)", kernelPackage)
	}
	return kernel, rest, nil
}
