// Package qcow2 reads and writes qemu's copy-on-write disks (.qcow2), versions 2 and 3, after qemu's docs/interop/qcow2.txt: "Header",
// "Header extensions", "Host cluster management", "Cluster mapping", "Snapshots".
//
// A disk is divided into clusters. The L1 table places the L2 tables, and those the clusters. Refcount table and refcount blocks count,
// for every cluster of the file, how many tables point at it.
//
// # Crash ordering
//
// A Flush writes, with a sync after each: the data and the refcounts of what was allocated; new refcount blocks' places; L2 tables;
// the L1 table. What a change made superfluous is counted down at the flush after that, and used again only then. A crash may thus leave
// clusters that are counted and not used, but none that is used and not counted.
//
// # Not written in place
//
// A cluster that is compressed, or shared with an internal snapshot (its entry lacks the "copied" flag), is replaced by a new one on
// the first write. The table reports both as packed to package mapped, which copies what the write leaves of them.
package qcow2
