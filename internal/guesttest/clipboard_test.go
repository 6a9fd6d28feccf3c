package guesttest

import (
	"encoding/binary"
	"strings"
	"testing"
)

// TestClipboard copies and pastes between a viewer and a guest with an agent, by the port that Debian's spice-vdagent uses and through TLS. The machine is suspended in
// between, and the agent begins anew.
func TestClipboard(t *testing.T) {
	const at = "127.0.0.1:5932"
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	f := newPCFile(t, "paint:1,clipboard")
	f.set("displayName", "shared")
	f.set("vmm.board", "fast")
	f.set("vmm.display", "virtio")
	g := f.start(t, "--vnc="+at)
	v := dialViewer(t, at)
	share := func(text string) {
		t.Helper()
		v.write(append(binary.BigEndian.AppendUint32([]byte{6, 0, 0, 0}, uint32(len(text))), text...)...)
		if got := v.cut(); got != "the guest has "+text {
			t.Errorf("the viewer gets %d bytes, %.40q", len(got), got)
		}
	}
	g.expect("^clipboard: ready$")
	share("one")
	share(strings.Repeat("long ", 100000))
	vmm(t, "suspend", "shared")
	if err := g.wait(); err != nil {
		t.Fatal(err)
	}
	g = f.start(t, "--vnc="+at, "--vnc-tls") // which works inside the sandbox, too
	v = dialEncrypted(t, at)
	g.expect("^clipboard: the machine has hung up$")
	g.expect("^clipboard: ready$")
	share("two")
	v.write(append([]byte{6, 0, 0, 0, 0, 0, 0, 3}, "end"...)...)
	g.finish()
}
