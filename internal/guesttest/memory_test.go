package guesttest

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/vmm/kvm"
)

const takenMiB = 128

// TestFreedMemoryGoesBack watches the monitor's memory while its guest takes some and gives it back: by free page reporting it falls again
// (Linux reports two seconds after pages were freed), and without a balloon it stays.
func TestFreedMemoryGoesBack(t *testing.T) {
	for _, balloon := range []bool{true, false} {
		t.Run(fmt.Sprintf("balloon=%v", balloon), func(t *testing.T) {
			f := newFile(t, fmt.Sprintf("memory:%d,button", takenMiB))
			f.set("vmm.memory.balloon", strings.ToUpper(strconv.FormatBool(balloon)))
			g := f.start(t)
			g.expect("^memory taken$")
			pid := g.cmd.Process.Pid
			taken := resident(t, pid)
			if _, err := io.WriteString(g.stdin, "\r"); err != nil {
				t.Fatal(err)
			}
			g.expect("waiting for the button")
			least := taken
			patience := limit
			if !balloon {
				patience = 5 * time.Second
			}
			for end := time.Now().Add(patience); time.Now().Before(end) && least > taken-takenMiB*3/4; time.Sleep(100 * time.Millisecond) {
				least = min(least, resident(t, pid))
			}
			t.Logf("%d MiB resident, %d after the guest gave %d back", taken, least, takenMiB)
			if given := taken - least; balloon && given < takenMiB*3/4 || !balloon && given > takenMiB/4 {
				t.Errorf("the host got %d MiB", given)
			}
			if err := g.cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			g.finish()
		})
	}
}

// resident is the memory of a process in MiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// TestReclaim has a running guest give up memory, and gives it back: Linux's own driver does what it is asked, and tells of its memory.
func TestReclaim(t *testing.T) {
	const asked = 64 << 20
	f := newFile(t, "button")
	cfg, _, _, err := vmx.Load(f.write(t), vmx.Options{AllowOutside: true})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	m, err := machine.New(machine.Options{Config: cfg, System: sys, Out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	defer func() {
		m.PowerOff()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	await := func(what string, ok func(b machine.Balloon) bool) (b machine.Balloon) {
		t.Helper()
		for ; ; time.Sleep(50 * time.Millisecond) {
			if b, _ = m.Balloon(); ok(b) {
				return b
			}
			if ctx.Err() != nil {
				t.Fatalf("%s: the balloon is %+v", what, b)
			}
		}
	}
	before := await("statistics", func(b machine.Balloon) bool { return b.Stats.Free > asked })
	m.Reclaim(asked)
	after := await("inflate", func(b machine.Balloon) bool { return b.Actual == asked && b.Stats.Free < before.Stats.Free-asked*3/4 })
	t.Logf("free in the guest: %d MiB before, %d after", before.Stats.Free>>20, after.Stats.Free>>20)
	m.Reclaim(0)
	await("deflate", func(b machine.Balloon) bool { return b.Actual == 0 && b.Stats.Free > before.Stats.Free-asked/4 })
}
