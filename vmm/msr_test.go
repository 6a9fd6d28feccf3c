package vmm_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/kvm"
)

// TestUnknownMSR writes and reads a register that there is not: the guest goes on, and reads zero. It is said once.
func TestUnknownMSR(t *testing.T) {
	const port = 0x10
	code := []byte{
		0x66, 0xB9, 0x78, 0x56, 0x34, 0x12, // mov ecx, 12345678h
		0x66, 0xB8, 0x77, 0x77, 0x77, 0x77, // mov eax, 77777777h
		0x0F, 0x30, // wrmsr
		0x0F, 0x32, // rdmsr
		0x66, 0xE7, port, // out port, eax
		0x0F, 0x32, 0x66, 0x89, 0xD0, 0x66, 0xE7, port, 0xF4, // rdmsr; mov eax, edx; out port, eax; hlt
	}
	var log bytes.Buffer
	m := newConfiguredMachine(t, vmm.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, 1, code...)
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	if sys.Check(kvm.CapX86UserSpaceMSR) == 0 {
		t.Skip("this KVM answers unknown MSRs itself")
	}
	said := newRecorder(0)
	mapPort(t, m.Ports, port, 4, said)
	m.Start()
	for range 2 {
		select {
		case a := <-said.got:
			if a.data != "\x00\x00\x00\x00" {
				t.Errorf("half of the register reads %x", a.data)
			}
		case s := <-m.stops:
			t.Fatalf("the guest stopped: %+v", s)
		}
	}
	m.Stop()
	if n := strings.Count(log.String(), "unknown MSR"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, &log)
	}
}
