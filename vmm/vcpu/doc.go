// Package vcpu runs virtual CPUs: one goroutine locked to one thread each, which enters the guest, hands its port, memory and MSR
// accesses to the board, and can be paused, resumed and stopped from outside without a race.
//
// # Kicks
//
// Whoever wants a vCPU's attention records the request, sets immediate_exit in the shared area, and signals the thread. The vCPU looks at
// requests only after KVM_RUN has returned EINTR, and only then clears immediate_exit; so a request made at any moment is seen, and the
// port or memory access that the guest was in the middle of is complete by then (Documentation/virt/kvm/api.rst, section 4.10).
package vcpu
