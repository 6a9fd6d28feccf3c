// Package tools works on whole disk images of any format: it describes, copies, compares and maps them.
//
// It knows images only as [disk.Image] and opens them through package formats. Nothing here depends on the size of a disk: work is
// cut into pieces of [pieceSize] bytes, of which a fixed number are in memory at a time, and lists of extents are read in batches.
// Operations end early, with the context's error, when their context does.
package tools
