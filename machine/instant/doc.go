// Package instant keeps the snapshots from which machines start that have nothing to remember (vmm.instant), in a folder of the user's cache:
//
//	$XDG_CACHE_HOME/vmm/instant/NAME-HASH.TIME/  a snapshot (package machine/snapshot), with files "identity" and "spoilt" beside its others; the newest counts
//	                            NAME-HASH.lock   locked by whoever makes one
//
// Nested hosts have the same folder, by 9p, which knows neither locks nor whether what it remembers is still so: what two hosts could be at has a name that is never used again.
//
// HASH is of the path of the .vmx and of the machine that it and the command line describe. The identity says which program, which processor, and which versions of the
// machine's files the snapshot is of; package snapshot itself has the disks looked at, and the rest when the machine goes on. What does not fit is made anew. All
// snapshots together take a bounded room, and those go first that were not used for longest.
package instant
