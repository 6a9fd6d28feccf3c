// Package vhd reads and writes Virtual PC and Hyper-V disks (.vhd), fixed and dynamic, after Microsoft's "Virtual Hard Disk Image
// Format Specification" 1.0 (October 2006): "Hard Disk Footer Format", "Dynamic Disk Header Format", "Block Allocation Table and Data
// Blocks".
//
// A dynamic disk has a copy of its footer at byte 0 and the footer as its last sector; either one suffices to open it. The footer at the
// end is believed first, because byte 0 of a fixed disk belongs to the guest.
//
// The capacity is the footer's current size, except for the old programs that showed a guest the geometry instead (see
// footer.capacity). Images made here store both so that every reader comes to the exact size.
package vhd
