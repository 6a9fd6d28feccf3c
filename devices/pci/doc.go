// Package pci is the PCI Express fabric of a machine: the configuration space of each function (PCI Local Bus 3.0, chapter 6), base
// address registers that a guest sizes and moves, capabilities, MSI, MSI-X and INTx interrupts, and the root complex with its
// two ways into configuration space, ECAM (PCI Express Base 3.0, section 7.2.2) and the ports 0xCF8-0xCFF (PCI 3.0, section 3.2.2.3.2).
//
// A device model builds a [Function], describes its registers, and gives it to [Root.Plug]. From then on the Root serialises all
// configuration accesses with one lock, which is never taken on the way of an access to a BAR or of an interrupt.
//
// A guest may place its BARs anywhere. One that would overlap something else is simply not mapped until the place is free.
package pci
