// Package guest looks at a disk as its guest does: it finds the partitions and tells which bytes no file system there uses, without
// mounting anything. `vmm disk compact` gives those back, `vmm disk resize` learns what lies at the end of the disk.
//
// A byte is free only if that is beyond doubt. A file system that was not cleanly unmounted, is hibernated, encrypted, part of a RAID or
// a volume group, has features that are not known here, contradicts itself, or shares its place with the traces of another one contributes
// nothing, and [Partition.Reason] says why in words for people.
//
// Each file system is a package of its own below this one, and so is the partition table. Everything that they read was written by a guest: reads
// are bounded by the volume, tables by caps, and no structure is followed twice.
package guest
