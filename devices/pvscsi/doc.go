// Package pvscsi is VMware's paravirtual SCSI adapter (15AD:07C0). There is no public specification: registers, commands and rings are those of the
// header vmw_pvscsi.h, which VMware wrote for Linux, whose driver is the judge.
//
// A driver gives the adapter the pages of a request ring, a completion ring and of the state with both rings' indexes, stores commands in the
// first and kicks a register, which is a doorbell that the kernel answers. Set-up and resets go through a command register, word by word.
//
// # Locks
//
// Device.mu guards registers and rings. It is not held while commands are taken back: their completions need it. The engine's lock comes behind it.
package pvscsi
