package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestWrongFlags gives flags that make no sense of a machine that is right but for its kernel: they are a wrong command line.
func TestWrongFlags(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "a.vmx")
	text := `.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
guestOS = "other-64"
memsize = "64"
vmm.kernel = "kernel"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
`
	for name, content := range map[string]string{file: text, filepath.Join(folder, "kernel"): "not one"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, flags := range [][]string{
		{"--mem", "3"}, {"--mem", "100T"}, {"--mem", "-5M"}, {"--cpus", "-1"}, {"--cpus", "300"}, {"--net", "tap"}, {"--net", "tap=a/b"},
		{"--publish", "80"}, {"--net", "none", "--publish", "80:80"}, {"--host-access", "0"}, {"--append", "a\nb"},
		{"--nested=maybe"}, {"--ctrl-c", "x"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"run", file}, flags...))
		err := root.Execute()
		var exit *exitError
		if !errors.As(err, &exit) || exit.code != exitUsage {
			t.Errorf("%q: %v; want a wrong command line", flags, err)
		}
	}
}

func TestComplaint(t *testing.T) {
	got := complaint(errors.Join(errors.New("one"), errors.New("two")))
	if want := "vmm: one\nvmm: two\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestRunStandsAlone holds the small tree of vmm run to the whole one.
func TestRunStandsAlone(t *testing.T) {
	whole, _, err := newRoot().Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", "x.vmx"}, {"ps"}, {}, {"-v", "run"}} {
		c, _, err := rootFor(args).Find([]string{"run"})
		if err != nil || c.UsageString() != whole.UsageString() {
			t.Errorf("%q: %v", args, err)
		}
	}
	if n := len(rootFor([]string{"run"}).Commands()); n != 1 {
		t.Errorf("%d commands to run a machine", n)
	}
}
