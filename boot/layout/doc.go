// Package layout is the address map of the board: where RAM, PCI windows, platform registers and boot structures lie.
//
// The map is that of Intel's Q35/ICH9 as firmware for it expects: RAM from zero with the PC's hole at 640 KiB, a hole below
// 4 GiB for PCI and platform devices, the rest of RAM from 4 GiB, and a 64-bit PCI window above that. Ports and GSIs follow
// the PC and the Intel I/O Controller Hub 9 datasheet, section 9 ("Register and memory mapping").
package layout
