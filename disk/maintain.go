package disk

// The interfaces of this file are what tools ask of an open image beyond [Image]. An image implements those that its format allows,
// and returns an error that wraps [ErrUnsupported] and gives the reason where this very image does not. While one of their methods runs, no other call
// on the image may be in flight. A crash at any moment leaves an image that opens and holds all that was flushed before.

// Resizer is an image whose capacity can change in place. It has to be open for writing.
type Resizer interface {
	Image
	// Resize sets the capacity to size bytes, a multiple of the sector where the format counts in sectors. What is added reads as zeroes, above a larger
	// parent too. What is cut off is lost: the caller has seen to it that nobody needs it. After a crash the image has the old capacity
	// or the new one, and all content that both have. When Resize returns without an error, the change is durable.
	Resize(size int64) error
}

// Relinker is an image that stores what differs from a parent, or could do so. It has to be open for writing; [OpenOptions.Alone] will do.
type Relinker interface {
	Image
	// Relink records the image at path parent, in its present state, as what this image is based upon: by its path relative to the image's folder and
	// whatever identity the format keeps. An empty path makes the image stand alone. Format names the parent's format, or is empty to go by its
	// name. Nothing else changes: what the image stores stays, what it does not store is the new parent's from now on.
	// It is durable when Relink returns; then only Info and Close may be called.
	Relink(parent, format string) error
}

// Arrangeable is an image whose blocks a tool may drop and move within its files. It has to be open for writing.
type Arrangeable interface {
	Image
	// Arenas returns the rooms for blocks, one for each file that has its own table, in the order of the disk.
	Arenas() ([]Arena, error)
}

// Arena is one file's room for blocks: the file is divided into slots, each of which holds one block or is free, numbered by their
// place in the file. Slots need not be adjacent, and what is not a block (headers, tables) lies in none.
type Arena interface {
	// Name is the path of the file.
	Name() string
	// BlockSize is the size of a block in bytes of the disk.
	BlockSize() int64
	// Base is where the arena's block 0 starts on the disk, in bytes.
	Base() int64
	// Blocks is how many blocks of the disk belong to the arena, stored or not; the last one may be short.
	Blocks() int64
	// Slots is the number of slots between the file's start and its end, free or not.
	Slots() int64
	// Slot returns the slot of a block, or -1 if the file does not store it.
	Slot(block int64) int64
	// Drop makes a stored block read as zeroes without a slot; above a parent, which must not shine through, it may return an
	// error that wraps ErrUnsupported. The old slot counts as free after the next Flush.
	Drop(block int64) error
	// Move copies a stored block to another slot, which must be free, since the last Flush at the latest. The old slot counts as free after the
	// next Flush. A slot from Slots() on makes the file longer.
	Move(block, slot int64) error
	// Flush makes all drops and moves since the last one durable: first the copies, then the tables.
	Flush() error
	// Trim ends the file behind the last slot in use, as far as the format's own tables allow, and is durable when it returns.
	Trim() error
}
