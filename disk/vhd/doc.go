// Package vhd reads and writes Virtual PC and Hyper-V disks (.vhd), fixed, dynamic and differencing, after Microsoft's "Virtual Hard
// Disk Image Format Specification" 1.0 (October 2006): "Hard Disk Footer Format", "Dynamic Disk Header Format", "Block Allocation Table
// and Data Blocks", "Implementing a Differencing Hard Disk".
//
// A dynamic disk has a copy of its footer at byte 0 and the footer as its last sector; either one suffices to open it. The footer at the
// end is believed first, because byte 0 of a fixed disk belongs to the guest.
//
// The capacity is the footer's current size, except for the old programs that showed a guest the geometry instead (see
// footer.capacity). Images made here store both so that every reader comes to the exact size.
//
// # Differencing disks
//
// A child knows its parent by the unique identifier and by when the parent's file was changed last (some programs: when the parent was
// made); both must fit. What drive or folder a locator names on the host that made the disk is not looked for: a relative path is
// taken as it is, of the others only the file's own name, beside the child. Each sector that is written has its bit set; all others are
// the parent's. qemu opens such a file as a dynamic disk and silently reads zeroes for them.
//
// # Maintenance
//
// Whatever changes the file itself ends in footers that are written, each of them one sector: what they lead to is whole and durable before.
// [Image.Resize] lengthens the table in place, after the blocks that are in the way have moved to the end; it goes to the end itself where a parent
// locator is in the way. [Image.Relink] writes the header elsewhere first, because that has two sectors. A fixed disk has a single footer: it moves by
// powers of two of sectors, so that Open finds it wherever a crash left it. What an interrupted change leaves is put right when the image is next opened for
// writing, [Repair] does so without bounds on what has to be moved.
package vhd
