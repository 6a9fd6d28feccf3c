// Package ide is the IDE function of Intel's PIIX4 (82371AB datasheet, chapters 2.3 and 9), as VMware and Hyper-V show it: two channels at their
// legacy ports with two drives each, and bus mastering (Programming Interface for Bus Master IDE Controller, revision 1.0).
//
// The command layer is package ata; here are the registers of a channel (ATA/ATAPI-6, chapters 5 to 9), its data port, and the
// walk through physical region descriptors. Each channel has one worker, since it carries out one command at a time; a vCPU never
// waits for a medium. Timing registers are remembered and have no effect.
//
// A reset by software waits for the part of a command that is under way, and BSY says so: afterwards no transfer touches the guest's memory.
package ide
