// Package nvme is an NVM Express controller (NVM Express Base Specification 1.4) with VMware's PCI identity, whose namespaces are disk
// images. Linux, Windows, SeaBIOS and OVMF have drivers for it.
//
// Implemented: registers, enabling, reset, shutdown and subsystem reset (sections 3.1 and 7.3 to 7.6); the admin commands (section 5) that a
// controller must have, Doorbell Buffer Config (5.7) besides; Read, Write, Flush, Write Zeroes and Dataset Management's deallocation
// (section 6); PRP lists (4.3); MSI-X and the pin (7.5). Not offered: SGLs, metadata and protection information, namespace
// management, Format, firmware download, security, fused commands, reservations, a controller memory buffer.
//
// One memory BAR holds everything:
//
//	0x0000  registers
//	0x1000  doorbells
//	0x2000  MSI-X table: a vector for each queue pair
//	0x3000  MSI-X pending bits
//
// # Workers
//
// Each submission queue has a lane: a worker that its doorbell wakes. The admin queue's lane carries out commands itself; none of them waits
// for a disk, but for deletions of queues. Those of I/O queues check commands and leave them to a few executors, shared by all, or carry
// out reads and writes themselves while the image answers quickly. A command is only taken when its completion queue has
// room for its answer, so that a completion never waits for the driver.
//
// A doorbell's value would be lost on the way through an ioeventfd. A driver that has set up doorbell buffers leaves the value in memory: from then on
// the doorbells of its submission queues are answered by the kernel. Without, they are ordinary registers.
//
// # Reset
//
// CC.EN = 0 and a function level reset return at once; CSTS.RDY falls when the last request has left guest memory, as the specification
// has it. A controller that is enabled again before that becomes ready after it.
//
// # Locks
//
// Root's lock of PCI configuration space comes before Controller.mu (function level reset), and that before the leaf locks of queues,
// events and interrupts. Workers take Controller.mu but for moments; nobody holds it while he waits for a worker.
package nvme
