// Package vmdk reads and writes VMware disks (.vmdk) after VMware's "Virtual Disk Format 5.0" (2011): "The Descriptor File", "Simple Extents",
// "Hosted Sparse Extents".
//
// A disk is a text descriptor and one or more extents, each in a file of its own or, in a monolithicSparse disk, in the same file. An extent is flat, sparse
// (header, grain directory, grain tables, grains), or all zeroes. A sparse extent keeps its directory and tables twice; both are written.
//
// The disk's content identifier (CID) is changed before the first write of each session, by which a snapshot notices
// that its parent is no longer what it was.
package vmdk
