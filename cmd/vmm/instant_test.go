package main

import (
	"os"
	"slices"
	"testing"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/session"
)

func TestBlank(t *testing.T) {
	s := display.NewSurface()
	v := s.NewViewer()
	defer v.Close()
	is := func() bool { return blank(&v.Update().Frame) }
	if !is() {
		t.Error("without a picture there is something to see")
	}
	const width, height = 64, 48
	m, err := display.NewMemory("test", 4*width*height)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	if err := s.Show(m, display.Geometry{Width: width, Height: height, Stride: 4 * width}); err != nil {
		t.Fatal(err)
	}
	if !is() {
		t.Error("there is something to see in black")
	}
	for _, at := range []int{4 * (width - 1), 4 * width * (height - 1)} {
		m.Bytes()[at] = 1
		if is() {
			t.Errorf("a pixel at byte %d is overlooked", at)
		}
		m.Bytes()[at] = 0
	}
}

// TestTwinOptions hands on what a twin has to have as well, and nothing that only one machine can have.
func TestTwinOptions(t *testing.T) {
	var fl runFlags
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fl.add(f)
	if err := f.Parse([]string{"--mem", "1G", "--publish=1:2", "--web", "--net-allow=a", "--net-allow=b,c", "--instant", "--allow-outside", "--nested"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"--allow-outside=true", "--instant=true", "--mem=1G", "--net-allow=a", "--net-allow=b,c"}
	if got := twinOptions(f); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name := range notForTwin {
		if f.Lookup(name) == nil && name != "verbose" {
			t.Errorf("there is no option %s", name)
		}
	}
}

// TestRehearsalApart leaves a rehearsal no way out: neither those of the .vmx nor those of the command line.
func TestRehearsalApart(t *testing.T) {
	fl := runFlags{rehearse: "/snapshot", ctrlC: "button", nested: "no", twin: true, hostAccess: []string{"80", "all"}, netAllow: []string{"example.org:443"}, publish: []string{"8080:80"}}
	m := config.New("a")
	m.NICs = []config.NIC{
		{Index: 0, Model: config.NICVirtio, Slot: config.NoSlot, Connection: config.ConnUser, HostAccess: true, LAN: true, Boot: config.NetBoot{File: "x"}},
		{Index: 1, Model: config.NICVirtio, Slot: config.NoSlot, Connection: config.ConnNone},
	}
	ports, err := fl.override(m)
	if err != nil || ports != nil {
		t.Fatalf("%v, %v", ports, err)
	}
	for i, want := range []config.Connection{config.ConnHostOnly, config.ConnNone} {
		if n := &m.NICs[i]; n.Connection != want || n.HostAccess || n.LAN || n.Allow != nil || n.Publish != nil || n.Boot != (config.NetBoot{}) {
			t.Errorf("%+v", n)
		}
	}
}

// TestMakers plans machines of a session.
func TestMakers(t *testing.T) {
	run := func(options ...string) session.Spec {
		return session.Spec{Args: append(append([]string{"run", "--link"}, options...), "/a.vmx")}
	}
	plain, forgets, instant := config.New("a"), config.New("b"), config.New("c")
	plain.Disks = []config.Disk{{Path: "/disk"}}
	instant.Run.Instant = true
	for i, test := range []struct {
		m                            *config.Machine
		s                            session.Spec
		repeatable, made, disposable bool
	}{
		{m: plain, s: run()},
		{m: forgets, s: run(), repeatable: true},
		{m: instant, s: run("--mem=1G"), repeatable: true, made: true, disposable: true},
		{m: instant, s: run("--cold"), repeatable: true, disposable: true},
		{m: plain, s: run("--instant"), repeatable: true, made: true, disposable: true},
	} {
		var a makers
		a.plan(7, test.m, &test.s)
		if test.s.Repeatable != test.repeatable || test.s.Disposable != test.disposable || (a.waiting[7] != nil) != test.made {
			t.Errorf("%d: %+v, %v", i, test.s, a.waiting)
		}
		if test.made && !slices.Equal(a.waiting[7], test.s.Args[2:]) {
			t.Errorf("%d: made with %q", i, a.waiting[7])
		}
		if want := append([]string{"run", "--link", "--beside"}, test.s.Args[2:]...); !slices.Equal(test.s.MoreArgs, want) {
			t.Errorf("%d: windows with %q", i, test.s.MoreArgs)
		}
	}
}

// TestAttend waits for the word to begin, and notices the end of whoever gives it.
func TestAttend(t *testing.T) {
	in, word, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := word.Write([]byte{'\n'}); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	if !attend(in, func() { close(stopped) }) {
		t.Fatal("it does not begin")
	}
	word.Close()
	<-stopped
	if attend(in, nil) {
		t.Error("it begins for nobody")
	}
}
