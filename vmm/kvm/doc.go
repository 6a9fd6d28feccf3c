// Package kvm is the kernel's virtual machine interface as Go types: system, virtual machine and vCPU, each a file descriptor with the
// ioctls that x86-64 offers on it. It follows Documentation/virt/kvm/api.rst of Linux; docstrings name the section by its ioctl.
//
// The package holds no policy: what a guest's CPU may see, where RAM lies and what an exit means is decided above.
// Every structure that crosses to the kernel is checked for its ABI size by a test.
package kvm
