// Package fat tells which clusters a FAT12, FAT16 or FAT32 file system does not use.
//
// It follows Microsoft's "FAT32 File System Specification", version 1.03 (fatgen103): sections "Boot Sector and BPB", "FAT Type Determination" and "FAT Data
// Structure". The table is what counts; FSInfo, which caches how many clusters are free, is not looked at.
package fat
