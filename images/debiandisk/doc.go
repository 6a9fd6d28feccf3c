// Package debiandisk makes a disk with a real Debian on it, as an installer would leave it: a GUID partition table with GRUB for BIOS in a partition of its
// own, GRUB for UEFI in the EFI system partition, and Debian's kernel, its initial RAM disk with the drivers of every controller, systemd and a login on the
// first serial port in an ext4 file system. Root logs in without a password; the command check prints what the system sees of its machine, and exercise
// works a disk and a card hard while their devices are reset.
//
// Debian's own tool unpacks the packages, which needs root, a network and a minute. The disk is made once, and kept in the user's cache.
//
// Source: GRUB, "BIOS installation" (GPT); UEFI Specification 2.10, sections 3.5.1.1 and 5.3; Discoverable Partitions Specification.
package debiandisk
