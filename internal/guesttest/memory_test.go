package guesttest

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
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
