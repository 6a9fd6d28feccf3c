package kvm

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// apiVersion is the only one there has been since Linux 2.6.22.
const apiVersion = 12

// System is an open /dev/kvm.
type System struct {
	fd   int
	path string
}

// Open opens the KVM device at path ("" is /dev/kvm) and checks its API version. The error says what to do about it.
func Open(path string) (*System, error) {
	if path == "" {
		path = "/dev/kvm"
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("open %s: %w: this host offers no hardware virtualisation (is it enabled in the firmware, and is kvm-intel or kvm-amd loaded?)", path, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("open %s: %w: join its group (sudo usermod -aG kvm $USER, then log in again)", path, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &System{fd, path}
	v, err := call(fd, ioc(dirNone, 0x00, 0), 0)
	if err != nil || v != apiVersion {
		_ = s.Close()
		if err == nil {
			err = fmt.Errorf("version %d, expected %d", v, apiVersion)
		}
		return nil, fmt.Errorf("%s is not a KVM device: %w", path, err)
	}
	return s, nil
}

// Close closes the device. Machines made from it live on.
func (s *System) Close() error { return unix.Close(s.fd) }

// Check returns what KVM_CHECK_EXTENSION says of a capability: 0 if absent, otherwise a positive number.
func (s *System) Check(c Cap) int {
	v, err := call(s.fd, ioc(dirNone, 0x03, 0), uintptr(c))
	if err != nil {
		return 0
	}
	return v
}

// SupportedCPUID returns what this host can offer a guest (KVM_GET_SUPPORTED_CPUID).
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	c := &cpuid2{n: maxCPUIDEntries}
	if _, err := callPtr(s.fd, ioc(dirRead|dirWrite, 0x05, 8), c); err != nil {
		return nil, fmt.Errorf("KVM_GET_SUPPORTED_CPUID: %w", err)
	}
	return c.entries[:min(c.n, maxCPUIDEntries):min(c.n, maxCPUIDEntries)], nil
}

// CreateVM makes an empty virtual machine.
func (s *System) CreateVM() (*VM, error) {
	fd, err := call(s.fd, ioc(dirNone, 0x01, 0), 0)
	if err != nil {
		return nil, fmt.Errorf("KVM_CREATE_VM: %w", err)
	}
	size, err := call(s.fd, ioc(dirNone, 0x04, 0), 0)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("KVM_GET_VCPU_MMAP_SIZE: %w", err)
	}
	return &VM{fd: fd, runSize: size}, nil
}
