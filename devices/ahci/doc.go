// Package ahci is a SATA host bus adapter (Serial ATA Advanced Host Controller Interface, revision 1.3.1), with the identity of VMware's. Drivers and
// firmware know an AHCI adapter by its class; a Windows that was installed on VMware finds the very adapter that it knows.
//
// The command layer is package ata; here are the registers, the fetching of commands from guest memory, the walk through PRD tables, and
// the frames (FIS; Serial ATA revision 3.0, section 10) that a drive would send. Each port has executors of its own, so that queued
// commands overlap and complete in any order; a vCPU never waits for a medium. A port is one drive: there are no port multipliers, no
// power management of the link, no command completion coalescing, no enclosure management, and no staggered spin-up, all of which the capabilities say.
//
// A port that is stopped or reset counts as running (PxCMD.CR, PxSSTS) until the commands under way have let go of the guest's memory.
package ahci
