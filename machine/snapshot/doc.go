// Package snapshot is the form in which a machine that was running lies in a folder:
//
//	state        what the processors, the devices and the machine itself were doing; the layout is below
//	memory       RAM from its first byte on, without the holes in the address space; pages of zeroes are holes of the file
//	pages        memory of devices, pictures above all, that their state in the file state refers to
//	disk-ADDRESS what the machine wrote to a disk whose writes are thrown away (package disk/volatile)
//	sums         checksums of memory, pages and disk-ADDRESS (SumsFile)
//	working-set  which pages of memory were needed first (WorkingFile)
//	disks        how the files of the other disks lay there, and which of them the machine's disks were frozen as
//
// The file state is little endian: magic "vmmstate", version (4 bytes), length of the description (4), length of the devices' state (8), the
// description (JSON, see Meta), the devices' state (package vmm/state), and a CRC-32C of all that. A snapshot is hostile input like a disk image.
//
// A folder is made under another name and gets its own when everything in it is durable, so that a crash leaves the old snapshot or the new.
package snapshot
