package guesttest

import (
	"strings"
	"testing"
)

// TestNetworkQueues has a guest with two processors send by two pairs of queues, and count them.
func TestNetworkQueues(t *testing.T) {
	port, sum := mirror(t, 1<<20)
	page := "http://10.0.2.2:" + port + "/"
	f := newFile(t, strings.Join([]string{"nic", "net:" + page, "push:1:" + page}, ","))
	f.set("numvcpus", "2")
	f.addNIC()
	g := f.start(t, "--host-access", port)
	g.finish()
	if got := g.said(`^nic queues (\d+)$`); len(got) != 1 || got[0][1] != "4" {
		t.Errorf("queues %v, want two pairs", got)
	}
	if got := g.said(`^net http.* status=200 bytes=1048576 sha256=(\S+)$`); len(got) != 1 || got[0][1] != sum {
		t.Errorf("the guest fetched %v, the server has %s", got, sum)
	}
}
