// Package vdi reads and writes VirtualBox's disks (.vdi), version 1.1, dynamic and fixed. There is no specification; the layout is that of
// VirtualBox's own VDICore.h, as qemu's block/vdi.c describes it too.
//
// Behind a header of 512 bytes lies the block map, an entry of 32 bits for each block (1 MiB, as a rule), which says in which slot of the file
// it is, that it was never written, or that it is zero. The header counts the slots in use, and VirtualBox puts the next block into the
// slot of that number: so slots are filled without gaps, and the count is durable before the map is.
//
// Differencing disks are refused. They know their parent by its UUID only, which the registry of VirtualBox resolves to a file.
//
// The header is one sector. [Image.Resize] switches with it from the old map to the new one, which lies behind the old one where that has no room to
// become longer in place; blocks in the way move to the end before. Until that switch a map may name slots beyond the number of blocks.
package vdi
