package machine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/vmm/kvm"
)

// TestFailedStartsLeaveNothing has New fail, and the last step of a start, with everything before it made, and counts what is left. Any
// KVM will do, since no vCPU runs.
func TestFailedStartsLeaveNothing(t *testing.T) {
	sys, err := kvm.Open("")
	if err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no KVM:", err)
	}
	defer sys.Close()
	folder := t.TempDir()
	kernel, disk := filepath.Join(folder, "kernel"), filepath.Join(folder, "disk.img")
	for _, path := range []string{kernel, disk} {
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.New("test")
	bus := config.Bus{Kind: config.BusSCSI}
	cfg.Controllers = []config.Controller{{Bus: bus, Slot: config.NoSlot}}
	cfg.Disks = []config.Disk{{
		Address: config.Address{Bus: bus}, Media: config.MediaDisk, Path: disk, Format: config.FormatRaw,
		Mode: config.ModePersistent, Connected: true,
	}}
	cfg.NICs = []config.NIC{{Connection: config.ConnUser, Slot: config.NoSlot, Connected: true}}
	cfg.Serials = []config.Serial{{Kind: config.SerialConsole}}
	cfg.SetKernel(kernel, "", "")

	start := func() {
		// Half-way through New: the disk is open and locked.
		cfg.NICs[0].Connection, cfg.NICs[0].Interface = config.ConnBridged, "br0"
		if _, err := New(Options{Config: cfg, System: sys}); err == nil {
			t.Fatal("a bridged card is supported: find another way to fail")
		}
		cfg.NICs[0].Connection, cfg.NICs[0].Interface = config.ConnUser, ""
		m, err := New(Options{Config: cfg, System: sys})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Run(context.Background()); !errors.Is(err, payload.ErrNotKernel) {
			t.Fatalf("the kernel is refused with %v", err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	start() // what is made once, is made now
	fds, goroutines := held(t)
	for range 5 {
		start()
	}
	for range 200 { // goroutines that have been told to end may take a moment
		nfds, ngo := held(t)
		if nfds <= fds && ngo <= goroutines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	nfds, ngo := held(t)
	buf := make([]byte, 64<<10)
	t.Errorf("%d descriptors, %d after five more starts; %d goroutines, then %d:\n%s", fds, nfds, goroutines, ngo, buf[:runtime.Stack(buf, true)])
}

// held counts the process's descriptors and goroutines.
func held(t *testing.T) (fds, goroutines int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), runtime.NumGoroutine()
}
