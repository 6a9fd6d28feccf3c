// Package wire is the language that `vmm nested` and its agent in the guest speak over one virtio-serial port.
//
// Everything travels in frames: one byte of kind, one byte of stream, two bytes of zero, the payload's length as a little
// endian uint32, and the payload. Both sides may send at any time. The standard streams share the port and so each has a
// window of its own, as SSH channels have (RFC 4254, section 5.2): a command that does not read its input never
// holds up a signal, and a stuck standard output never holds up standard error.
package wire
