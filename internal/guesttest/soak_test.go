package guesttest

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/vmm/kvm"
)

// TestSoak boots a machine again and again within one process and looks for what it leaves behind: file descriptors, goroutines,
// memory mappings. `make soak` asks for 100 boots.
func TestSoak(t *testing.T) {
	boots := 3
	if s := os.Getenv("VMM_SOAK"); s != "" {
		var err error
		if boots, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	f := newFile(t, "rng")
	f.create(t, "disk.vmdk", 1<<20)
	f.addDisk(0, "disk.vmdk")
	f.addNIC()
	cfg, _, _, err := vmx.Load(f.write(t), vmx.Options{AllowOutside: true})
	if err != nil {
		t.Fatal(err)
	}
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	bootOnce(t, cfg, sys) // what is made once, is made now
	fds, goroutines, maps := left(t)
	for i := range boots {
		bootOnce(t, cfg, sys)
		if nfds, ngo, nmaps := left(t); nfds > fds || ngo > goroutines || nmaps > maps+16 {
			t.Fatalf("after boot %d: %d descriptors (%d before), %d goroutines (%d), %d mappings (%d)", i+2, nfds, fds, ngo, goroutines, nmaps, maps)
		}
	}
	t.Logf("%d boots; %d descriptors, %d goroutines, %d mappings", boots+1, fds, goroutines, maps)
}

func bootOnce(t *testing.T, cfg *config.Machine, sys *kvm.System) {
	t.Helper()
	var out strings.Builder
	m, err := machine.New(machine.Options{Config: cfg, System: sys, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "tasks: all ok") {
		t.Fatalf("the guest said:\n%s", out.String())
	}
}

// left counts what the process holds, once it has come to rest.
func left(t *testing.T) (fds, goroutines, maps int) {
	t.Helper()
	for range 50 {
		runtime.GC()
		n := runtime.NumGoroutine()
		time.Sleep(20 * time.Millisecond)
		if runtime.NumGoroutine() == n {
			break
		}
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	fds = len(entries)
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return fds, runtime.NumGoroutine(), strings.Count(string(b), "\n")
}
