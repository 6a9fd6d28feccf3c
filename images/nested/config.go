package nested

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/internal/debian"
)

// Config says what to run and in what machine. The zero value of each field but Args is a sensible choice.
type Config struct {
	Args []string // the command and its arguments
	Dir  string   // current folder of the command, shared read-write; "" stands for the caller's
	Env  []string // environment of the command; nil stands for the caller's

	Stdin, Stdout, Stderr *os.File // nil stands for the caller's own; terminals are recognised

	MemoryMiB int           // of the guest; 0 stands for 4096, or half of the host's where that is less
	CPUs      int           // of the guest; 0 stands for 1. More than one runs slower each, but at the same time
	Timeout   time.Duration // wall time after which the command is killed and the status is StatusTimeout; 0 stands for none

	// Patience is how long the command may go on when Run's context has ended, because a signal did that which the command has got as well; 0 is for not at all.
	Patience time.Duration

	// Kernel of the guest; "" stands for debian.Generic. Debian's cloud kernel has no 9p, so with debian.Cloud the guest has to be Isolated,
	// nothing is shared, and the command's own program is copied into it.
	Kernel   debian.Flavour
	Accel    Accel     // "" stands for TCG
	Isolated bool      // the guest sees the shared folders and u-root's commands (package userland), not the host's root
	Shares   []string  // more folders of the host to share read-write at the same path
	Publish  []Forward // ports of the host's loopback that lead into the guest
	// X11 is a command that carries one connection between its standard input and output and the host's X server. With it the guest's DISPLAY leads there, if Env has one.
	X11   []string
	Store string // folder of the package cache; "" stands for debian.DefaultDir

	// Display, if not "", makes the outer machine a PC with this graphics card of QEMU's (virtio-vga, bochs-display), a keyboard, a mouse and a tablet. Monitor is
	// then where its QMP socket is made, by which a test looks at the screen and types.
	Display, Monitor string

	Console  io.Writer       // gets what the guest's kernel and the outer QEMU say, while they say it; may be nil
	Progress debian.Progress // hears what is being prepared; may be nil
	Prepared func()          // is called before the command runs, whose terminal it is from then on; may be nil
}

// Accel is how the outer machine is executed.
type Accel string

// The ways. KVM needs a host whose own KVM offers nesting; TCG is emulation and works everywhere.
const (
	TCG Accel = "tcg"
	KVM Accel = "kvm"
)

// Exit statuses that Run returns besides the command's own.
const (
	StatusTimeout        = 124 // as timeout(1)
	StatusInfrastructure = 125 // the machine around the command failed, or could not be prepared
)

// Forward is a TCP port of the host's loopback that leads to a port of the guest.
type Forward struct{ Host, Guest uint16 }

// ParseForward parses HOST:GUEST, or PORT for the same one on both sides.
func ParseForward(s string) (Forward, error) {
	h, g, ok := strings.Cut(s, ":")
	if !ok {
		g = h
	}
	host, err1 := strconv.ParseUint(h, 10, 16)
	guest, err2 := strconv.ParseUint(g, 10, 16)
	if err1 != nil || err2 != nil || host == 0 || guest == 0 {
		return Forward{}, fmt.Errorf("port forward %q is not HOST:GUEST with ports from 1 to 65535", s)
	}
	return Forward{uint16(host), uint16(guest)}, nil
}

// ErrConfig is what Run wraps when the configuration makes no sense.
var ErrConfig = errors.New("vmm nested")

// complete checks c and fills in what was left out.
func (c Config) complete() (Config, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return c, fmt.Errorf("%w: no command given", ErrConfig)
	}
	if c.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return c, fmt.Errorf("finding the current folder: %w", err)
		}
		c.Dir = dir
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	c.Env = c.leadDisplay()
	if c.Kernel == "" {
		c.Kernel = debian.Generic
	}
	if c.Kernel == debian.Cloud && (!c.Isolated || len(c.Shares) > 0) {
		return c, fmt.Errorf("%w: Debian's cloud kernel has no 9p and so can't show the guest the host's files: make the guest isolated, or choose the kernel %q", ErrConfig, debian.Generic)
	}
	switch c.Accel {
	case "":
		c.Accel = TCG
	case TCG, KVM:
	default:
		return c, fmt.Errorf("%w: unknown accelerator %q: choose %q or %q", ErrConfig, c.Accel, TCG, KVM)
	}
	switch {
	case c.CPUs < 0 || c.CPUs > 64:
		return c, fmt.Errorf("%w: %d processors; choose 1 to 64", ErrConfig, c.CPUs)
	case c.CPUs == 0:
		c.CPUs = 1
	}
	if c.Display != "" && displayModules[c.Display] == nil || (c.Display == "") != (c.Monitor == "") {
		return c, fmt.Errorf("%w: display %q with its monitor at %q", ErrConfig, c.Display, c.Monitor)
	}
	host, err := hostMemoryMiB()
	if err != nil {
		return c, err
	}
	const least, usual = 256, 4096
	switch {
	case c.MemoryMiB == 0:
		c.MemoryMiB = max(least, min(usual, host/2))
	case c.MemoryMiB < least:
		return c, fmt.Errorf("%w: %d MiB of memory; at least %d are needed", ErrConfig, c.MemoryMiB, least)
	case c.MemoryMiB > host:
		return c, fmt.Errorf("%w: %d MiB of memory; the host has %d", ErrConfig, c.MemoryMiB, host)
	}
	return c, nil
}

// hostMemoryMiB is what the host has in all.
func hostMemoryMiB() (int, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("asking for the host's memory: %w", err)
	}
	var kib int
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err != nil {
		return 0, fmt.Errorf("asking for the host's memory: %w", err)
	}
	return kib / 1024, nil
}

// shared returns the folders to mount read-write, resolved, outer ones before inner ones and none twice.
func (c Config) shared() ([]string, error) {
	if c.Kernel == debian.Cloud {
		return nil, nil
	}
	want := append([]string{c.Dir}, c.Shares...)
	for _, kv := range c.Env {
		if tmp, ok := strings.CutPrefix(kv, "TMPDIR="); ok && tmp != "" {
			want = append(want, tmp)
		}
	}
	var all []string
	for _, dir := range want {
		abs, err := filepath.Abs(dir)
		if err == nil {
			abs, err = filepath.EvalSymlinks(abs)
		}
		if err != nil {
			return nil, fmt.Errorf("sharing folder %s: %w", dir, err)
		}
		st, err := os.Stat(abs)
		if err != nil {
			return nil, fmt.Errorf("sharing folder %s: %w", dir, err)
		}
		if !st.IsDir() {
			return nil, fmt.Errorf("sharing folder %s: it is no folder", dir)
		}
		if abs != "/" { // the root itself is there already, and is never shared writable
			all = append(all, abs)
		}
	}
	return outermost(all), nil
}

// outermost drops folders that lie in others of the list.
func outermost(dirs []string) []string {
	var out []string
	for i, d := range dirs {
		inside := false
		for j, o := range dirs {
			if i != j && (strings.HasPrefix(d, o+"/") || d == o && j < i) {
				inside = true
			}
		}
		if !inside {
			out = append(out, d)
		}
	}
	return out
}
