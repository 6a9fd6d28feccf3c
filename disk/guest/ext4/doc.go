// Package ext4 tells which blocks an ext2, ext3 or ext4 file system does not use.
//
// It follows the kernel's documentation, Documentation/filesystems/ext4 (Super Block; Block Group Descriptors; Block and inode Bitmaps;
// Bigalloc; Meta Block Groups; Checksums). A volume is believed if it was unmounted cleanly, has only features that are known here, and
// every checksum and every count of free blocks agrees with the bitmaps.
package ext4
