package disk

// Info describes an image for people and tools. It is a snapshot; nothing in it changes later.
type Info struct {
	Format  string   // "raw", "vmdk", "vhd"
	Variant string   // the format's own word: "monolithicSparse", "dynamic"; empty when there is only one
	Path    string   // the file that was opened
	Files   []string // every file that holds part of the image, Path first, those of parents last
	Size    int64    // capacity in bytes
	// BlockSize is the allocation unit in bytes (grain, block, cluster), or 0 for a format without one.
	BlockSize int64
	// SectorSize is the logical sector in bytes that the disk was made for: 512 or 4096.
	SectorSize int
	ReadOnly   bool
	// Unclean says that the last program to write the image did not close it.
	Unclean bool
	// ID is the content or unique identifier that the format keeps, as the format prints it, or empty.
	ID string
	// Parent is the path of the image that this one is based on, or empty.
	Parent string
	// Warnings are remarks on the image that its owner should know of, one sentence each.
	Warnings []string
}
