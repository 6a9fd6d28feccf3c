package guesttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
)

// afterwards is what Linux says of a device that it was told to reset, or of a cable that was pulled: what was done to it, and not that it went wrong. The
// driver of the e1000 resets it, and counts that, where its cable is pulled with frames still to be sent: it knows that the card does not send them then. The end of a line that says that
// processes are asleep is one of its own, with no level, where another line came in between.
var afterwards = regexp.MustCompile(expected.String() + `|nvme nvme0: resetting controller$|sd \S+: Power-on or device reset occurred$|e1000 \S+ \S+: Reset adapter$|counted link: tx_timeout_count: 1$|storage: \[ *[0-9.]+\] done\.$`)

// enoughKept is how many files a machine has flushed when it is killed.
const enoughKept = 8

// exercise boots the machine and works its devices: a second disk on the row's controller and the row's card, by Debian's own tools. Both disks are written and
// verified while their controller is reset in each way that Linux has for it; iperf3 sends both ways, and once more while the guest takes its link down and the
// host pulls the cable. At last the machine is killed while it writes, and its second disk is looked at from outside. It returns what came of it.
func (r matrixRow) exercise(t *testing.T, f *machineFile, login *time.Duration) string {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	data := "data." + r.format
	f.create(t, data, 160<<20)
	address := strings.TrimSuffix(places[r.place].address, "0") + "1"
	f.set(address+".present", "TRUE")
	f.set(address+".fileName", data)
	port := iperfServer(t)
	g, took := r.boot(t, f, "--host-access", port)
	*login = took
	card := matrixCards[r.card]
	g.enter("exercise " + card.driver + " " + port)
	g.expect(`exercise: verified`) // behind what the shell left on its line
	g.expect(`^exercise: cable$`)
	name := fmt.Sprintf("ethernet%d", r.card)
	id := status(t).ID
	ask(t, "link", id, name, "down")
	time.Sleep(time.Second) // any time is right
	ask(t, "link", id, name, "up")
	g.expect(`^exercise: done$`)
	if n := status(t).NICs[r.card]; n.BadChecksums != 0 {
		t.Errorf("%d frames came from the %s with a wrong checksum", n.BadChecksums, card.model)
	}
	for range enoughKept {
		g.expect(`^exercise: flushed `)
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = g.wait()

	complaints := append(g.said(`^exercise: complaint (.*)$`), g.said(`^exercise: (counted .*)$`)...)
	complaints = slices.DeleteFunc(complaints, func(m []string) bool { return afterwards.MatchString(m[1]) })
	for _, m := range complaints {
		t.Errorf("Debian complains: %s", m[1])
	}
	if got := g.said(`^exercise: link (.*)$`); len(got) != 1 || got[0][1] != "10.0.2.15" {
		t.Errorf("after its link was down the %s has the address %q", card.model, got)
	}
	resets := g.said(`^exercise: resets (\d+)$`)
	if n, _ := strconv.Atoi(resets[0][1]); n < 3 {
		t.Errorf("%d resets only", n)
	}
	kept := f.checkKept(t, data, g.said(`^exercise: flushed (\S+) (\S+)`))
	worked := []string{card.model}
	for _, m := range append(g.said(`exercise: (verified .*|load .*)$`), g.said(`^exercise: (iperf .*)$`)...) {
		worked = append(worked, m[1])
	}
	return strings.Join(append(worked, fmt.Sprintf("%d files kept, %d complaints", kept, len(complaints))), "; ")
}

// iperfServer runs iperf3 on the host's loopback and returns its port.
func iperfServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	c := exec.Command("iperf3", "--server", "--bind", "127.0.0.1", "--port", port)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatalf("%v (make setup-test installs what is needed)", err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("iperf3:\n%s", out.String())
		}
	})
	eventually(t, "iperf3 listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
	return port
}

// checkKept has the file system's own tools look at the disk of a machine that was killed: the journal is played back, nothing else is to be mended, and every
// file that the guest had flushed holds what it held. It returns how many these are.
func (f *machineFile) checkKept(t *testing.T, name string, flushed [][]string) int {
	t.Helper()
	f.check(t, name, disk.Damage, "", false)
	raw := filepath.Join(f.dir, "data.raw")
	if _, err := tools.Convert(context.Background(), filepath.Join(f.dir, name), raw, tools.ConvertOptions{}); err != nil {
		t.Fatal(err)
	}
	run := func(status int, command ...string) {
		t.Helper()
		c := exec.Command(command[0], command[1:]...)
		c.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
		if out, err := c.CombinedOutput(); c.ProcessState == nil || c.ProcessState.ExitCode() > status {
			t.Errorf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
	}
	run(1, "e2fsck", "-p", raw) // which does what needs no questions: that is the journal
	run(0, "e2fsck", "-fn", raw)
	for _, m := range flushed {
		out := filepath.Join(f.dir, "kept")
		run(0, "debugfs", "-R", "dump /"+m[1]+" "+out, raw)
		b, err := os.ReadFile(out)
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); err != nil || got != m[2] {
			t.Errorf("%s, which the guest had flushed, is lost: %d bytes, %v", m[1], len(b), err)
		}
		_ = os.Remove(out)
	}
	return len(flushed)
}
