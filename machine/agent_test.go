package machine

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"
)

func TestAgent(t *testing.T) {
	var none *agent
	none.restored() // nobody to tell
	a := newAgent()
	said := func(want string) {
		t.Helper()
		p := make([]byte, 100)
		before := time.Now().UnixNano()
		n, err := a.Read(p)
		var word string
		var ns int64
		if _, e := fmt.Sscanf(string(p[:n]), "%s %d\n", &word, &ns); err != nil || e != nil || word != want || before-ns > int64(time.Minute) {
			t.Errorf("%q, %v, %v, want %s and the time", p[:n], err, e, want)
		}
	}
	a.restored()
	said("restored")
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
