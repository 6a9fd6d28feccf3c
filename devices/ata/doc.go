// Package ata is the command layer of ATA drives (ATA8-ACS, T13/1699-D revision 4a), which PIIX IDE and AHCI share: it carries out commands on a
// [disk.Image], and hands packets (ATA/ATAPI-8, "PACKET feature set") to a CD-ROM's command layer.
//
// A controller fills a [Command] with the registers that the host wrote and gives it to Decode, which says what data the command
// moves and in which manner. It then calls Execute from a goroutine that may block, with slices of guest memory or a buffer of its own, until the
// command is Finished: a long transfer goes in as many parts as the controller likes. What the host reads back is in the same Command.
//
// Addresses are CHS, LBA28 and LBA48. Queued commands (SATA 3.0, "Native Command Queuing") may be executed concurrently; the controller sees to
// it that no other command runs then. A drive with a password (Security), a host protected area and configuration overlays are refused
// as commands that this drive does not have.
package ata
