// Package nested gives a command real KVM where the host has none: QEMU's emulation of an AMD processor with SVM boots a Debian
// kernel with kvm-amd, and the command runs in there with the files, environment, terminal, streams, signals and exit status that it
// would have had outside.
//
// The parts: package internal/debian fetches the kernel; image.go packs an initramfs from the kernel's modules and the running
// program itself, which package agent turns into the guest's first process; qemu.go starts the outer machine; session.go speaks with the
// agent in the frames of package wire over a virtio-serial port. The guest's root is the host's, read-only by 9p with a layer of memory
// on top; the current folder and the shares are mounted read-write at their own paths.
//
// The nested clock needs the host's TSC frequency (tsc_amd64.s), and kvm-amd needs the cure of package cr8 for a QEMU bug.
package nested
