package machine

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
)

func TestAgent(t *testing.T) {
	var none *agent
	none.restored(nil, nil) // nobody to tell
	a := newAgent()
	said := func(want ...string) {
		t.Helper()
		p := make([]byte, 100)
		before := time.Now().UnixNano()
		n, err := a.Read(p)
		line, ended := strings.CutSuffix(string(p[:n]), "\n")
		words := strings.Fields(line)
		if err != nil || !ended || len(words) < 2 {
			t.Fatalf("%q, %v", p[:n], err)
		}
		ns, err := strconv.ParseInt(words[1], 10, 64)
		if words = slices.Delete(words, 1, 2); err != nil || !slices.Equal(words, want) || before-ns > int64(time.Minute) {
			t.Errorf("%q, %v, want %q and the time", p[:n], err, want)
		}
	}
	one, two, three := config.MAC{2, 1}, config.MAC{2, 2}, config.MAC{2, 3}
	a.restored([]config.MAC{one, two}, []config.MAC{one, three})
	said("restored", "02:02:00:00:00:00=02:03:00:00:00:00")
	for _, piece := range []string{"ti", "me", "\nnonsense\n", string(bytes.Repeat([]byte("x"), 1000)), "\ntimes\n"} {
		if n, err := a.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	said("time")
	for range 1000 { // a guest that does not listen
		a.Write([]byte("time\n"))
	}
	if len(a.out) > maxAgentOut || len(a.line) > maxAgentLine {
		t.Errorf("%d bytes wait for the guest, %d for its newline", len(a.out), len(a.line))
	}
	a.Close()
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}
