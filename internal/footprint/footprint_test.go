package footprint

import (
	"bufio"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rss is the resident part, in KiB, of this program's own read-only file mappings.
func rss(t *testing.T) int {
	t.Helper()
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, counts := 0, false
	for s := bufio.NewScanner(f); s.Scan(); {
		if m, ok := parse(s.Text()); ok {
			counts = m.path == self && !m.writable
		}
		if v, ok := strings.CutPrefix(s.Text(), "Rss:"); ok && counts {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(v, "kB")))
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

func TestShrink(t *testing.T) {
	p := Limit()
	kept := []byte(strings.Repeat("kept", 100))
	before := rss(t)
	p.Shrink()
	after := rss(t)
	if after >= before {
		t.Errorf("%d KiB of the program in memory before, %d after", before, after)
	}
	if string(kept) != strings.Repeat("kept", 100) {
		t.Errorf("%q", kept)
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]mapping{
		"00400000-0081b000 r-xp 00000000 00:1e 6                      /dev/shm/h/v m m": {span{0x400000, 0x81b000}, false, "/dev/shm/h/v m m"},
		"116d6d400000-116d6d800000 rw-p 00000000 00:00 0 ":                              {span{0x116d6d400000, 0x116d6d800000}, true, ""},
	} {
		if got, ok := parse(s); !ok || got != want {
			t.Errorf("%q: %+v, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "Rss: 3 kB", "10-5 r--p 0 0:0 0", "x-y r--p 0 0:0 0"} {
		if _, ok := parse(s); ok {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestAttend(t *testing.T) {
	before := rss(t)
	percent := debug.SetGCPercent(100)
	defer debug.SetGCPercent(percent)
	process := Limit()
	if now := debug.SetGCPercent(100); now != 100 {
		t.Errorf("the start is collected at %d %%", now)
	}
	stop := process.Attend(time.Millisecond)
	defer stop()
	for deadline := time.Now().Add(10 * time.Second); rss(t) >= before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d KiB of the program in memory before, and not less since", before)
		}
	}
	if now := debug.SetGCPercent(100); now != gcPercent {
		t.Errorf("what runs is collected at %d %%", now)
	}
}
