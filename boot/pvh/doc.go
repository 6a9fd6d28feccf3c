// Package pvh loads an ELF kernel by the PVH boot protocol: the entry point stands in an ELF note, the kernel starts in 32-bit
// protected mode and finds everything else by a start-info structure.
//
// Sources: Xen docs/misc/pvh.pandoc; xen/include/public/arch-x86/hvm/start_info.h (layout, version 1) and
// xen/include/public/elfnote.h (XEN_ELFNOTE_PHYS32_ENTRY); System V ABI, chapters 4 and 5 (ELF).
package pvh
