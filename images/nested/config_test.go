package nested

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/nested/wire"
	"github.com/sharevm/vmm/internal/debian"
)

func TestCompleteFillsIn(t *testing.T) {
	c, err := Config{Args: []string{"true"}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if c.Accel != TCG || c.Kernel != debian.Generic || c.CPUs != 1 || c.MemoryMiB < 256 || c.MemoryMiB > 4096 {
		t.Errorf("%+v", c)
	}
	if c.Dir == "" || len(c.Env) == 0 || c.Stdin != os.Stdin || c.Stdout != os.Stdout || c.Stderr != os.Stderr {
		t.Errorf("not the caller's surroundings: %+v", c)
	}
}

func TestCompleteRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no command":         {},
		"empty command":      {Args: []string{""}},
		"unknown display":    {Args: []string{"a"}, Display: "cga", Monitor: "m"},
		"no monitor":         {Args: []string{"a"}, Display: "virtio-vga"},
		"accelerator":        {Args: []string{"a"}, Accel: "xen"},
		"cloud, with files":  {Args: []string{"a"}, Kernel: debian.Cloud},
		"cloud, shares":      {Args: []string{"a"}, Kernel: debian.Cloud, Isolated: true, Shares: []string{"/tmp"}},
		"processors":         {Args: []string{"a"}, CPUs: -1},
		"many processors":    {Args: []string{"a"}, CPUs: 1000},
		"little memory":      {Args: []string{"a"}, MemoryMiB: 10},
		"more than there is": {Args: []string{"a"}, MemoryMiB: 1 << 40},
	} {
		if _, err := c.complete(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if status, err := Run(t.Context(), c); status != StatusInfrastructure || err == nil {
			t.Errorf("%s: Run gave %d, %v", name, status, err)
		}
	}
}

func TestParseForward(t *testing.T) {
	for in, want := range map[string]Forward{"80:8080": {80, 8080}, "22": {22, 22}, "65535:1": {65535, 1}} {
		if got, err := ParseForward(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", ":", "0:1", "1:0", "65536:1", "-1:1", "a:b", "1:2:3", "1,hostfwd=x:2"} {
		if got, err := ParseForward(in); err == nil {
			t.Errorf("%q became %v", in, got)
		}
	}
}

func TestSharedFolders(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"work/sub", "tmp", "other"} {
		if err := os.MkdirAll(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("work", filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	c := Config{
		Dir:    filepath.Join(base, "link"),
		Env:    []string{"TMPDIR=" + filepath.Join(base, "tmp"), "X=y"},
		Shares: []string{filepath.Join(base, "work/sub"), filepath.Join(base, "other"), filepath.Join(base, "work"), "/"},
	}
	got, err := c.shared()
	want := []string{filepath.Join(base, "work"), filepath.Join(base, "other"), filepath.Join(base, "tmp")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v instead of %v", got, err, want)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{file, filepath.Join(base, "gone")} {
		if _, err := (Config{Dir: "/", Shares: []string{bad}}).shared(); err == nil {
			t.Errorf("%s was shared", bad)
		}
	}
}

func TestArguments(t *testing.T) {
	shares := []wire.Share{{Tag: "vmm.share0", Path: "/a,b c"}}
	c := Config{Accel: TCG, CPUs: 1, MemoryMiB: 512, Publish: []Forward{{8080, 80}}}
	args := strings.Join(arguments(c, debian.Kernel{Vmlinux: "/k"}, shares, 2600000), "\n")
	for _, want := range []string{
		"tcg,thread=single", "EPYC,+svm,+npt", "tsc_early_khz=2600000", "hostfwd=tcp:127.0.0.1:8080-:80",
		"path=/\n", "readonly=on,path=/", "path=/a,,b c", "rdinit=/vmm-nested-agent",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("%q is missing in\n%s", want, args)
		}
	}
	c.CPUs, c.Isolated = 2, true
	args = strings.Join(arguments(c, debian.Kernel{}, shares, 1), "\n")
	if !strings.Contains(args, "thread=multi") || strings.Contains(args, "readonly=on") {
		t.Errorf("two processors, isolated:\n%s", args)
	}
}

func TestDisplayArguments(t *testing.T) {
	c := Config{Accel: TCG, CPUs: 1, MemoryMiB: 512, Display: "virtio-vga", Monitor: "/a,b"}
	args := strings.Join(arguments(c, debian.Kernel{}, []wire.Share{{Tag: "s", Path: "/s"}}, 1), "\n")
	for _, want := range []string{"q35", "\nvirtio-vga\n", "virtio-9p-pci", "virtio-serial-pci", "unix:/a,,b,server"} {
		if !strings.Contains(args, want) {
			t.Errorf("%q is missing in\n%s", want, args)
		}
	}
	if strings.Contains(args, "microvm") || strings.Contains(args, "-device,") || strings.Contains(args, "serial-device") {
		t.Errorf("a device of a microvm in\n%s", args)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var live bytes.Buffer
	said := &tail{live: &live}
	for range 3 * tailLen / 10 {
		said.Write([]byte("012345678\n"))
	}
	said.Write([]byte("qemu: warning: TCG doesn't support requested feature: X\nlast words\n"))
	got := said.String()
	if !strings.HasSuffix(got, "8\nlast words") || len(got) > tailLen {
		t.Errorf("%d bytes, ending in %q", len(got), got[max(0, len(got)-40):])
	}
	if live.Len() < 3*tailLen {
		t.Errorf("only %d bytes were passed on", live.Len())
	}
}

func TestTSCFrequency(t *testing.T) {
	a, b := tscKHz(), tscKHz()
	if a < 500_000 || a > 10_000_000 {
		t.Errorf("%d kHz", a)
	}
	if d := int64(a) - int64(b); d > int64(a)/1000 || -d > int64(a)/1000 {
		t.Errorf("%d and then %d kHz", a, b)
	}
}

func TestCPUTime(t *testing.T) {
	// Burn processor time until the kernel has noticed it; a cpuTime that reads the wrong field never gets there.
	for end := time.Now().Add(10 * time.Second); cpuTime(os.Getpid()) < 50*time.Millisecond; {
		if time.Now().After(end) {
			t.Fatalf("%v after ten busy seconds", cpuTime(os.Getpid()))
		}
	}
	if got := cpuTime(1 << 30); got != 0 {
		t.Errorf("no such process took %v", got)
	}
}

// TestStandsAlone refuses a program with a dynamic linker, which would end in a panic of the nested host's kernel.
func TestStandsAlone(t *testing.T) {
	if err := standsAlone("/bin/sh"); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("/bin/sh: %v", err)
	}
	if err := standsAlone(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a file that is missing")
	}
}

func TestLeadDisplay(t *testing.T) {
	relay := []string{"/my vmm's", "x11,relay"}
	for _, test := range []struct {
		x11       []string
		env, want string
	}{
		{relay, "DISPLAY=:7", "DISPLAY=10.0.2.100:0"},
		{relay, "DISPLAY=localhost.example:10.1", "DISPLAY=10.0.2.100:0.1"},
		{relay, "DISPLAY=", "DISPLAY="},
		{relay, "A=1", "A=1"},
		{nil, "DISPLAY=:7", "DISPLAY=:7"},
	} {
		env := []string{"FIRST=1", test.env}
		if got := (Config{Env: env, X11: test.x11}).leadDisplay(); got[1] != test.want || env[1] != test.env || len(got) != 2 {
			t.Errorf("%v %s: %v, and %v of the caller's", test.x11, test.env, got, env)
		}
	}
	if got, want := displayForward(relay), `,guestfwd=tcp:10.0.2.100:6000-cmd:'/my vmm'\''s' 'x11,,relay'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := displayForward(nil); got != "" {
		t.Error(got)
	}
}
