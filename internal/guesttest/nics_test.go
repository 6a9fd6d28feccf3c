package guesttest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
)

// mirror answers a GET with random bytes and a POST with the hash of its body.
func mirror(t *testing.T, size int) (port, sum string) {
	t.Helper()
	body := make([]byte, size)
	_, _ = rand.Read(body)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
			return
		}
		h := sha256.New()
		if r.URL.RawQuery == "discard" { // for measurements
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		_, _ = io.Copy(h, r.Body)
		fmt.Fprintf(w, "%x", h.Sum(nil))
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port(), fmt.Sprintf("%x", sha256.Sum256(body))
}

// newCardFile begins a machine of the PC board with one card of a model.
func newCardFile(t *testing.T, model, tasks string) *machineFile {
	t.Helper()
	f := newPCFile(t, tasks)
	f.addNIC()
	f.set("vmm.ethernet0.virtualDev", model)
	f.set("ethernet0.addressType", "static")
	f.set("ethernet0.address", "00:50:56:12:34:56")
	return f
}

// TestNICs has Linux's own driver of each card carry pages both ways, change its MTU and its modes, and reset its card under load, without a
// word of complaint.
func TestNICs(t *testing.T) {
	for _, test := range []struct{ model, driver, cpus, queues string }{
		{"e1000e", "e1000e", "1", "2"}, {"e1000", "e1000", "1", "2"}, {"vmxnet3", "vmxnet3", "1", "2"},
	} {
		t.Run(test.model, func(t *testing.T) {
			port, sum := mirror(t, 2<<20)
			page := "http://10.0.2.2:" + port + "/"
			tasks := []string{"nic", "net:" + page, "push:2:" + page, "modes", "flap:3", "net:" + page, "mtu:1400", "push:1:" + page, "nic", "klog"}
			f := newCardFile(t, test.model, strings.Join(tasks, ","))
			f.set("numvcpus", test.cpus)
			g := f.start(t, "--host-access", port)
			g.finish()
			if got := g.said(`^net http.* status=200 bytes=2097152 sha256=(\S+)$`); len(got) != 2 || got[0][1] != sum || got[1][1] != sum {
				t.Errorf("the guest fetched %v, the server has %s", got, sum)
			}
			if got := g.said(`^nic driver (\S+)$`); len(got) != 2 || got[0][1] != test.driver {
				t.Errorf("driver %v", got)
			}
			if got := g.said(`^nic queues (\d+)$`); len(got) == 0 || got[0][1] != test.queues {
				t.Errorf("queues %v, want %s", got, test.queues)
			}
			if got := g.said(`^nic address 00:50:56:12:34:56$`); len(got) == 0 {
				t.Error("the card has another address")
			}
			for _, m := range g.said(`^(nic queues.*|nic vectors.*|klog.*)$`) {
				t.Log(m[1])
			}
		})
	}
}

// TestNICRate measures how fast each card carries bytes, side by side with virtio's. It holds them to working only: the numbers are for reading.
func TestNICRate(t *testing.T) {
	if os.Getenv("VMM_MEASURE") == "" {
		t.Skip("a measurement, for VMM_MEASURE=1")
	}
	for _, model := range []string{"virtio", "e1000e", "e1000", "vmxnet3"} {
		t.Run(model, func(t *testing.T) {
			port, _ := mirror(t, 32<<20)
			task := "rate:32:http://10.0.2.2:" + port + "/?discard"
			g := newCardFile(t, model, task+","+task).start(t, "--host-access", port)
			g.finish()
			for _, m := range g.said(`^rate (.*)$`) {
				t.Log(m[1])
			}
		})
	}
}
