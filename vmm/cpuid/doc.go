// Package cpuid decides what a guest's processor says of itself: what the host's KVM supports, less what would tie the guest to this
// very host or promise what no device backs, with the topology that the machine's configuration asks for.
//
// Leaf numbers and fields follow Intel SDM volume 2 (CPUID) and AMD APM volume 3, appendix E; the hypervisor leaves follow
// Documentation/virt/kvm/x86/cpuid.rst of Linux.
package cpuid
