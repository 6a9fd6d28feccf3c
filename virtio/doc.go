// Package virtio is what all virtio devices share (virtio 1.2, sections 2 and 3): the Device interface between a device and its
// transport, the numbers of device types and features, and the workers that serve a device's queues.
//
// A device knows nothing of PCI, registers or device status: the transport (package transport) enforces the order of
// initialisation and hands the device, once the driver is ready, its checked queues. Each device has a package of its own.
package virtio
