// Package fuse shows a disk image as a raw file of the disk's size, so that any program can look into it, and change it if allowed: a
// folder with that file, or in the place of a file. The kernel's FUSE protocol is go-fuse's business; this package
// is the file system of one file behind it.
//
// Holes of the image are holes of the file (lseek with SEEK_DATA and SEEK_HOLE, st_blocks); fallocate makes holes; fsync makes durable.
// The file's size is the disk's and cannot change. Only the user who mounted it, and root by way of that user, can see it.
package fuse
