package vmm_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/vmm"
	"github.com/sharevm/vmm/vmm/kvm"
)

// TestLateClock asks for KVM's clock below 1 MiB, where it must not tick, and above.
func TestLateClock(t *testing.T) {
	const port, low, high, clock = 0x10, 0x9000, 0x110000, 0x4b564d01
	code := []byte{
		0x66, 0xB9, 0x01, 0x4D, 0x56, 0x4B, // mov ecx, clock
		0x66, 0x31, 0xD2, // xor edx, edx
		0x66, 0xB8, 0x01, 0x90, 0x00, 0x00, 0x0F, 0x30, // mov eax, low|1; wrmsr
		0xE6, port, // out port, al
		0x66, 0xB8, 0x01, 0x00, 0x11, 0x00, 0x0F, 0x30, // mov eax, high|1; wrmsr
		0xE6, port, 0xF4,
	}
	m := newConfiguredMachine(t, vmm.Config{LateClock: true}, 1, code...)
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	if sys.Check(kvm.CapX86MSRFilter) == 0 {
		t.Skip("this KVM has no filter for MSRs")
	}
	said := newRecorder(0)
	mapPort(t, m.Ports, port, 1, said)
	m.Start()
	<-said.got
	<-said.got
	m.Stop()
	page := make([]byte, 32)
	if err := m.Memory.Read(low, page); err != nil || !bytes.Equal(page, make([]byte, 32)) {
		t.Errorf("the clock ticks below 1 MiB: %x, error %v", page, err)
	}
	if err := m.Memory.Read(high, page); err != nil || bytes.Equal(page, make([]byte, 32)) {
		t.Errorf("the clock does not tick above 1 MiB: error %v", err)
	}
	set, err := m.VCPUs()[0].KVM().MSRs([]uint32{clock})
	if err != nil || len(set) != 1 || set[0].Data != high|1 {
		t.Errorf("the clock is at %x, error %v", set, err)
	}
}
