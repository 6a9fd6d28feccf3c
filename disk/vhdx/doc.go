// Package vhdx reads and writes Hyper-V disks of the second format (.vhdx): fixed, dynamic and differencing, after [MS-VHDX] "Virtual
// Hard Disk v2 (VHDX) File Format": headers (2.2.2), region table (2.2.3), log (2.3), blocks and their table (2.4, 2.5), metadata (2.6).
//
// # Log
//
// Every change of the block allocation table and of sector bitmaps goes through the log. One flush that has something to publish costs
// two syncs: the first makes data durable, together with the metadata that the previous flush logged, now written in its place; the
// second makes the new log entry durable, whose tail is itself. Entries take turns in the two halves of the log, so that one which is torn
// never lies over the one that is needed. The log is opened by the first allocation of a session and emptied at Close.
//
// An image that was not closed is replayed when it is opened: in the file, or in memory when it is opened read-only.
//
// # Differencing disks
//
// A write to a block that the file lacks stores whole sectors only, and marks them in the sector bitmap. A block whose sectors have all
// been written becomes fully present.
//
// # Space
//
// A block takes the first hole between others that is long enough, or else lies at the end of the file: what other programs, an interrupted session or a
// tool left free is used again. Only space at the end of a file counts as leaked. Of tables above 16 MiB nobody looks for holes.
//
// # Maintenance
//
// Resize, Relink and Arenas start from an empty log, and change metadata by one entry of it, so that a crash leaves the old state or the new
// one. What the new state needs is made ready before, where nobody looks with the old one: behind the end of the table, behind the end of the disk
// in its last block, or in a copy of the table elsewhere, to which the region table then changes. The identifier that children remember
// changes with what can be seen of the disk: when it is resized or blocks are dropped, not when they move or the parent changes.
//
// [MS-VHDX]: https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-vhdx/
package vhdx
