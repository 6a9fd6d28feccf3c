// Package fusion is LSI's Fusion-MPT host bus adapters as VMware's machines have them: SAS 1068 (message passing interface 1.5) and 53c1030, a parallel
// SCSI adapter (1.2). The specification is LSI's "Fusion-MPT Message Passing Interface", which is not public as a whole; the layouts are those of the
// mpi*.h headers that LSI published with its drivers. Linux's mptsas and mptspi are the judges.
//
// The driver brings the adapter up by handshakes through the doorbell register, half a word at a time. After that it posts addresses of request frames
// to one FIFO and takes outcomes from another: a bare context for a command that went well, the address of a reply frame otherwise. An access to
// a register never waits for a disk, except for the resets, which wait for what is under way.
//
// # Locks
//
// Device.mu guards registers and FIFOs. It is not held while commands are taken back: their completions need it. The engine's lock comes behind it.
package fusion
