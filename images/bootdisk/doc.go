// Package bootdisk makes a disk that a PC boots by its firmware, by BIOS as well as by UEFI: Debian's GRUB, a kernel and an initial RAM disk on one FAT
// partition. It needs Debian's packages grub-common, grub-pc-bin, grub-efi-amd64-bin and mtools, and no rights.
//
// Source: GRUB, "BIOS installation" and the formats of boot.img and diskboot.img (include/grub/i386/pc/boot.h); UEFI Specification 2.10, section 3.5.1.1,
// for the name that firmware looks for on a disk that it does not know.
package bootdisk
