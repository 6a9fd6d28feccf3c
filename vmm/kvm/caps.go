package kvm

import (
	"fmt"
	"strings"
)

// Cap is a KVM capability number (KVM_CAP_*).
type Cap int

// The capabilities that the monitor asks about.
const (
	CapIRQChip           Cap = 0
	CapUserMemory        Cap = 3
	CapSetTSSAddr        Cap = 4
	CapExtCPUID          Cap = 7
	CapNRVCPUs           Cap = 9
	CapNRMemslots        Cap = 10
	CapMPState           Cap = 14
	CapCoalescedMMIO     Cap = 15 // its value is the page of the run area that holds the ring
	CapIRQRouting        Cap = 25
	CapIRQFD             Cap = 32
	CapPIT2              Cap = 33
	CapIOEventFD         Cap = 36
	CapSetIdentityMap    Cap = 37
	CapMaxVCPUs          Cap = 66
	CapTSCDeadlineTimer  Cap = 72
	CapImmediateExit     Cap = 136
	CapCoalescedPIO      Cap = 162
	CapHyperVSynIC2      Cap = 148
	CapHyperVCPUID       Cap = 167
	CapX86UserSpaceMSR   Cap = 188
	CapX86MSRFilter      Cap = 189
	CapIOEventFDNoLength Cap = 100
)

// required lists what the monitor cannot do without, since when Linux has it, and what for.
var required = []struct {
	cap         Cap
	name, since string
	what        string
}{
	{CapUserMemory, "KVM_CAP_USER_MEMORY", "2.6.25", "guest RAM"},
	{CapSetTSSAddr, "KVM_CAP_SET_TSS_ADDR", "2.6.25", "real mode on Intel CPUs"},
	{CapSetIdentityMap, "KVM_CAP_SET_IDENTITY_MAP_ADDR", "2.6.32", "real mode on Intel CPUs"},
	{CapExtCPUID, "KVM_CAP_EXT_CPUID", "2.6.26", "choosing what the guest's CPU offers"},
	{CapIRQChip, "KVM_CAP_IRQCHIP", "2.6.21", "in-kernel interrupt controllers"},
	{CapPIT2, "KVM_CAP_PIT2", "2.6.32", "the in-kernel timer"},
	{CapIRQRouting, "KVM_CAP_IRQ_ROUTING", "2.6.30", "message-signalled interrupts"},
	{CapIRQFD, "KVM_CAP_IRQFD", "2.6.32", "interrupts from device workers"},
	{CapIOEventFD, "KVM_CAP_IOEVENTFD", "2.6.32", "doorbells of device workers"},
	{CapMPState, "KVM_CAP_MP_STATE", "2.6.26", "several vCPUs"},
	{CapImmediateExit, "KVM_CAP_IMMEDIATE_EXIT", "4.13", "stopping a vCPU without a race"},
}

// MissingError names the capabilities that this host's KVM lacks.
type MissingError struct{ Missing []string }

// Error implements error.
func (e *MissingError) Error() string {
	return "this host's KVM lacks " + strings.Join(e.Missing, ", ") + "; a newer kernel is needed"
}

// Require returns a MissingError unless the host's KVM has everything that the monitor needs.
func (s *System) Require() error {
	var missing []string
	for _, r := range required {
		if s.Check(r.cap) <= 0 {
			missing = append(missing, fmt.Sprintf("%s (Linux %s: %s)", r.name, r.since, r.what))
		}
	}
	if missing != nil {
		return &MissingError{missing}
	}
	return nil
}
