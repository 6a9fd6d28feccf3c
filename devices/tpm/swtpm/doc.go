// Package swtpm has the program swtpm be a machine's TPM 2.0: it starts one, speaks to it over two sockets, one for commands and one for control, and ends it.
//
// Source: swtpm's manual pages swtpm(8) and swtpm_ioctls(3), which describe the control channel: a command's number and its arguments as
// 32-bit numbers, big endian, answered by a result of 32 bits, 0 for success, and what else the command gives.
//
// The program keeps what the TPM remembers in a folder, locks that, and confines itself by a seccomp filter of its own. It ends when the sockets close,
// so that it does not outlive a machine that crashes.
package swtpm
