// Package vmdk reads and writes VMware disks (.vmdk) after VMware's "Virtual Disk Format 5.0" (2011): "The Descriptor File", "Simple Extents",
// "Hosted Sparse Extents", "ESXi Host Sparse Extents", "Stream-Optimized Compressed Sparse Extents". SEsparse, which that does not describe, is
// read after what ESXi logs of it.
//
// A disk is a text descriptor and one or more extents, each in a file of its own or, in a monolithicSparse or streamOptimized disk, in the same
// file. An extent is flat, sparse (header, grain directory, grain tables, grains), or all zeroes. A hosted sparse extent keeps its directory
// and tables twice; both are written. ESXi's own sparse formats are only read.
//
// # Snapshots
//
// A snapshot names its parent and the content identifier (CID) that it had. The CID is changed before the first write of each
// session, by which a snapshot notices that its parent is no longer what it was. What a snapshot lacks is read from the
// parent; a grain is copied up before a part of it is written.
//
// # Recovery
//
// A header is marked while somebody writes. An extent whose mark was left is put right when it is opened for writing: both copies of
// the tables are made to agree, and room that nothing refers to is given back.
//
// # Streams
//
// The grains of a streamOptimized extent are compressed, by all processors at once, and appended in the order of the writes; a
// rewritten grain leaves its old version behind as waste. A stream written once from start to end has the layout that readers which cannot seek expect.
package vmdk
