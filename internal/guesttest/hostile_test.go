package guesttest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	hostileTime = 10 * time.Second // VMM_HOSTILE says otherwise
	// maxOwnMemory is what the monitor of a hostile guest may hold beside the guest's RAM, in bytes.
	maxOwnMemory = 64 << 20
	// maxMessages is how much of standard error a hostile guest may cause, in bytes, for each minute begun.
	maxMessages = 256 << 10
)

// TestHostileGuest has a guest's kernel-level program attack all devices of its machine (task hostile of testguest). The monitor lives, in bounded
// memory and with few messages; every device works for an ordinary driver afterwards; and a machine beside it notices nothing.
func TestHostileGuest(t *testing.T) {
	duration := hostileTime
	if s := os.Getenv("VMM_HOSTILE"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := time.Now().UnixNano()
	if s := os.Getenv("VMM_HOSTILE_SEED"); s != "" { // what another run did, as far as the guest's two processors allow
		var err error
		if seed, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d, %v", seed, duration)

	beside := newFile(t, "button,disk:/dev/vda:8:7,rng")
	beside.create(t, "disk.vmdk", 8<<20)
	beside.addDisk(0, "disk.vmdk")
	neighbour := beside.start(t)
	neighbour.expect("waiting for the button")

	port, sum := page(t, 1<<20)
	f := newFile(t, fmt.Sprintf("hostile:%d:%d,disk:/dev/vda:8:7,rng,net:http://10.0.2.2:%s/", int(duration.Seconds()), seed, port))
	f.create(t, "disk.vmdk", 8<<20)
	f.addDisk(0, "disk.vmdk")
	f.addNIC()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	g := f.start(t, "--cpus", "2", "--host-access", port)
	g.expect("^hostile: .* devices")
	var most atomic.Uint64
	watched, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for tick := time.NewTicker(500 * time.Millisecond); ; {
			most.Store(max(most.Load(), ownMemory(g.cmd.Process.Pid)))
			select {
			case <-tick.C:
			case <-ended:
				tick.Stop()
				return
			}
		}
	}()
	// The guest is silent for all that time.
	deadline := time.Now().Add(duration)
	for time.Until(deadline) > 0 && g.cmd.Process.Signal(syscall.Signal(0)) == nil {
		time.Sleep(min(time.Until(deadline), time.Second))
	}
	counts := g.hears(`^hostile: (\d+ actions, .*)$`, 2*time.Minute)
	if counts == nil {
		g.recovers()
	} else {
		t.Log(counts[1])
		g.finish()
	}
	close(ended)
	<-watched
	if got := g.said(`^net http.* status=200 bytes=1048576 sha256=(\S+)$`); counts != nil && (len(got) != 1 || got[0][1] != sum) {
		t.Errorf("after the attack the network card fetched %v, the server has %s", got, sum)
	}
	messages := g.err.String()
	t.Logf("%.1f MiB at most beside the guest's RAM; %d bytes of messages", float64(most.Load())/(1<<20), len(messages))
	if most.Load() == 0 || most.Load() > maxOwnMemory {
		t.Errorf("the monitor held %d bytes beside the guest's RAM, at most %d are allowed", most.Load(), maxOwnMemory)
	}
	if most := maxMessages * (1 + int(duration/time.Minute)); len(messages) > most {
		t.Errorf("the guest caused %d bytes of messages, at most %d are allowed", len(messages), most)
	}
	if strings.Contains(messages, "panic") {
		t.Errorf("a device panicked:\n%s", messages)
	}

	if err := neighbour.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	neighbour.finish()
}

// recovers is what becomes of a guest that has harmed itself, by a device that wrote where its own kernel lies: its monitor lives, and a reset brings it back.
func (g *guest) recovers() {
	g.t.Helper()
	for id, pid := range running(g.t) {
		if pid == g.cmd.Process.Pid {
			g.t.Logf("the guest hangs; %s is reset", id)
			vmm(g.t, "reset", id)
			g.expect("^hostile: .* devices") // all of them can be had again
			if err := g.cmd.Process.Kill(); err != nil {
				g.t.Error(err)
			}
			_ = g.cmd.Wait()
			return
		}
	}
	g.t.Fatal("the guest hangs, and its monitor answers nobody")
}

var mapping = regexp.MustCompile(`^([0-9a-f]+)-([0-9a-f]+) `)

// ownMemory is what a monitor holds in anonymous memory, in bytes, without the guest's RAM: that is its only mapping of such a size.
func ownMemory(pid int) (sum uint64) {
	const ram = 200 << 20
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return 0
	}
	var size uint64
	for line := range bytes.Lines(b) {
		if m := mapping.FindSubmatch(line); m != nil {
			from, _ := strconv.ParseUint(string(m[1]), 16, 64)
			to, _ := strconv.ParseUint(string(m[2]), 16, 64)
			size = to - from
		} else if rest, ok := bytes.CutPrefix(line, []byte("Anonymous:")); ok && size < ram {
			kib, _ := strconv.ParseUint(strings.Fields(string(rest))[0], 10, 64)
			sum += kib << 10
		}
	}
	return sum
}
