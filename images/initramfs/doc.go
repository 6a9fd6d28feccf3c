// Package initramfs builds the archive that a Linux kernel unpacks as its first root file system: an init program, the kernel
// modules that it has to load, and whatever else the caller adds.
//
// The format is cpio "newc" (Documentation/driver-api/early-userspace/buffer-format.rst in the kernel). Owner, times and inode
// numbers are fixed, so that equal input gives equal bytes. Modules are stored flat and uncompressed below /modules; the file
// /modules/order names them, one file name a line, dependencies first: an init loads them from top to bottom.
package initramfs
