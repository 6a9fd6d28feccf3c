// Package partition reads the partition table of a guest's disk, and moves the copy of it that a GPT keeps at the disk's end.
//
// It follows the UEFI Specification 2.10, chapter 5 (GUID Partition Table Disk Layout): 5.2 for the legacy and the protective MBR,
// 5.3 for the GPT. Logical partitions of an MBR's extended partition are chained as every system since MS-DOS 3.3 does it.
//
// All of it is what a guest wrote: the number of entries, their size and the length of the chain are capped, and what points
// outside the disk is told, not followed.
package partition
