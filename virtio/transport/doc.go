// Package transport is virtio over PCI, modern devices only (virtio 1.2, section 4.1): it makes a virtio.Device a pci.Function.
//
// The transport owns what all devices have in common: feature negotiation, the device status and the order of its
// steps, the set-up of queues, notifications, interrupts, and the driver's reset. A device meets none of it; it
// is activated with checked queues and deactivated again.
//
// One memory BAR holds all structures:
//
//	0x0000  common configuration
//	0x1000  ISR status
//	0x2000  device-specific configuration
//	0x3000  notifications, 4 bytes for each queue; doorbells that the kernel answers (ioeventfd)
//	0x4000  MSI-X table: a vector for each queue and one for configuration changes
//	0x5000  MSI-X pending bits
//
// # Locks
//
// Transport.mu serialises the registers and is held while the device is activated and deactivated, which waits for its workers. So
// whatever a worker calls (an interrupt, ConfigChanged, Fail) works on atomics and leaf locks. The root's lock for PCI
// configuration space comes before Transport.mu: the configuration access capability reaches the registers from there.
package transport
