// Package q35 is the chipset of the PC board as firmware and systems look for it: Intel's Q35 memory controller hub at 00:00.0, which says where
// configuration space and RAM lie, and the ICH9's LPC bridge at 00:1f.0, which places power management and wires the PCI interrupt pins.
//
// Sources: Intel 3 Series Express Chipset Family datasheet (316966), sections 5.1 (DRAM controller registers) and 3.4 (PAM); Intel ICH9 datasheet (316972),
// sections 13.1 (LPC bridge), 10.1 (chipset configuration registers) and 5.8.6 (PCI interrupts).
//
// What lies behind a register that has an effect is done at once: configuration space (PCIEXBAR) and the PM block (PMBASE) move, and interrupts are
// wired anew (PIRQ[A-H]_ROUT). The PAM registers keep what is written, and shadow RAM is always there, readable and writable: firmware finds its copy in
// place whatever it has chosen. There is no system management mode: SMRAM is locked, and power management says that its interrupt is set up
// already. The watchdog cannot restart the board, and says so.
package q35
