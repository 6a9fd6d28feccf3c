// Package e1000 holds two network cards of Intel's that share most of their registers: the 82545EM (8086:100f, "e1000" in VMware's
// machines) and the 82574L (8086:10d3, "e1000e").
//
// It follows the PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453) for the 82545EM and the 82574 GbE
// Controller Family Datasheet (revision 3.4) for the 82574L: receive and transmit functions (chapters 3 and 7), interrupts with
// MSI-X (7.4), PHY and EEPROM (5, 9 and 8, 10), registers (13 and 10). The PHYs are Marvell's 88E1011 and the 82574's own.
//
// What a card would do in time is done at once here: the link is negotiated the moment that its cable is in, and delays of interrupts by
// timers (RDTR, TIDV) are none, while the spacing of interrupts (ITR, EITR) holds. A frame that finds no descriptor waits instead of
// being lost, as if flow control had reached its sender.
//
// Not implemented: wake-up, management, flash, loopback, time stamps of frames, IPsec and UDP fragmentation by the card.
package e1000
