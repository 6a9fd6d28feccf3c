package debugcon

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	d := New(&out, 1<<10)
	p := make([]byte, 2)
	if d.Read(0, p); p[0] != readBack || p[1] != readBack {
		t.Errorf("reads %x", p)
	}
	for _, c := range []byte("one\ntwo") {
		d.Write(0, []byte{c})
	}
	if out.String() != "one\n" {
		t.Errorf("printed %q before the line was complete", out.String())
	}
	statetest.Cycle(t, d, func() state.Device { return New(&out, 1) })
	if out.String() != "one\ntwo" {
		t.Errorf("printed %q", out.String())
	}
	for range 1 << 10 {
		d.Write(0, []byte("xy"))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if n := out.Len(); n != 1<<10 {
		t.Errorf("printed %d bytes, the limit is %d", n, 1<<10)
	}
	if !strings.HasPrefix(out.String(), "one\ntwoxy") {
		t.Errorf("printed %q", out.String())
	}
}
