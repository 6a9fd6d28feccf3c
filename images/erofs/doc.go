// Package erofs writes EROFS file systems: the read-only, uncompressed kind that a kernel reads straight into its page cache.
//
// The format is that of the kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h: one superblock, compact inodes, plain
// (not inlined) data, blocks of 4 KiB. Everything belongs to root, every time is the one that the caller gives, and order follows
// from names alone, so equal input gives equal bytes. It needs neither root nor a tool of the host.
package erofs
