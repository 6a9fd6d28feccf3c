package guesttest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// TestConsole joins the console of a machine that was started without a terminal, answers its guest there, and reads what is kept of it when it has ended.
func TestConsole(t *testing.T) {
	needGuests(t)
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	f := newFile(t, "console:/dev/ttyS0,console:/dev/hvc0")
	f.set("displayName", "talker")
	f.dir = t.TempDir()
	run := exec.Command(vmmBin, "run", "--allow-outside", f.write(t))
	if err := run.Start(); err != nil { // without standard input and output
		t.Fatal(err)
	}
	defer run.Process.Kill()
	eventually(t, "the machine", func() bool { return len(running(t)) == 1 })
	g := f.startAs(t, exec.Command(vmmBin, "console", "talker"))
	for _, console := range []string{"/dev/ttyS0", "/dev/hvc0"} {
		g.expect("^type a line on " + console + "$")
		fmt.Fprintf(g.stdin, "hello %s\n", console)
		g.expect(`^you typed "hello ` + console)
	}
	g.finish()
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
	log := string(ask(t, "logs", "talker"))
	for _, want := range []string{" vmm started: process ", "type a line on /dev/hvc0\n", `you typed "hello /dev/ttyS0`, " guest tasks: all ok\n", " vmm ended\n"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in the log:\n%s", want, log)
		}
	}
}
