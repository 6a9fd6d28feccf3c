// Package entry describes the registers with which a guest's boot processor starts, as plain data, and prepares the
// descriptor table and page tables that they point to.
//
// Sources: Intel SDM volume 3, sections 3.4.5 (descriptors), 4.5 (4-level paging) and 2.5 (control registers); Linux
// Documentation/arch/x86/boot.rst, "64-bit boot protocol"; Xen docs/misc/pvh.pandoc, "Initial state".
package entry
