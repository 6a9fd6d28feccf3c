package cpuid

import (
	"fmt"
	"math/bits"
)

// Topology is how vCPUs form packages. There is one thread to a core.
type Topology struct {
	CPUs           int // 1..255
	CoresPerSocket int // 1..CPUs; CPUs is a multiple
}

// Validate checks the ranges.
func (t Topology) Validate() error {
	if t.CPUs < 1 || t.CPUs > 255 || t.CoresPerSocket < 1 || t.CPUs%t.CoresPerSocket != 0 {
		return fmt.Errorf("%d vCPUs in sockets of %d: 1 to 255 vCPUs are possible, in sockets of equal size", t.CPUs, t.CoresPerSocket)
	}
	if t.APICID(t.CPUs-1) > 254 {
		return fmt.Errorf("%d vCPUs in sockets of %d need APIC ids above 254", t.CPUs, t.CoresPerSocket)
	}
	return nil
}

// coreBits is how many bits of an APIC id number the core within its package.
func (t Topology) coreBits() int { return bits.Len(uint(t.CoresPerSocket - 1)) }

// APICID returns the initial APIC id of a vCPU: ids are split at powers of two, so they have gaps where CoresPerSocket is not one.
func (t Topology) APICID(cpu int) int {
	return cpu/t.CoresPerSocket<<t.coreBits() | cpu%t.CoresPerSocket
}
