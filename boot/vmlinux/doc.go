// Package vmlinux unpacks the ELF kernel inside a bzImage.
//
// Booted by PVH, the unpacked kernel spares the guest its own decompression, which is slow where CPUs are emulated. The payload's place
// is in the setup header (Linux Documentation/arch/x86/boot.rst, "payload_offset"); its formats are those of Linux's
// scripts/Makefile.lib: gzip, bzip2, XZ, zstd, LZ4 in its legacy frame. LZMA and LZO kernels are refused: no distribution
// ships them any more.
package vmlinux
