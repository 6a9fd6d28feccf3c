// Package disk is the contract between a machine and its disks, and the ground that every disk format stands on.
//
// An [Image] is what a machine or a tool sees: a linear array of bytes. A [File] is what a format sees: one file of the host,
// with the few operations that formats need. [Files] hands out the latter, so that a test can stand in for the
// host, record each write and sync, and replay a power failure at any point.
//
// Each format is a package below this one (raw, vmdk, vhd); package formats chooses among them by a file's name or by the
// user's word, never by contents, which a guest can write. This package knows nothing of virtual machines.
//
// # Crash ordering
//
// A format that allocates keeps new table entries in memory until Flush, which then makes data durable, writes the entries, and
// makes those durable. An ordinary write thus costs no sync of its own, and no table on disk ever points at a block that
// was not written before it.
//
// # Trust
//
// Every byte of an image file is hostile input. Table sizes are capped before anything is allocated, offsets are checked against the
// file before they are followed, and names of further files are resolved inside the image's own folder.
package disk
