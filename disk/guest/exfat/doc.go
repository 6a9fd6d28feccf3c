// Package exfat tells which clusters an exFAT file system does not use.
//
// It follows Microsoft's "exFAT file system specification", revision 1.00: sections 3.1 (Main and Backup Boot Sector), 3.4 (Checksum), 4.1 (FAT), 7.1 (Allocation
// Bitmap Directory Entry).
package exfat
