// Package serial is a 16550A UART, a PC's COM port.
//
// Source: National Semiconductor PC16550D data sheet (June 1995), sections 6 (registers) and 8 (FIFO operation). Characters cross
// the line in no time: a transmitted byte goes to a ring that a goroutine writes out, so a vCPU does not wait for the host, and the
// transmitter is empty at once unless that ring is full.
//
// Output is not dropped. While the ring is full the transmitter is busy, as it is on a slow line; a guest that sends anyway
// is held up, for 100 ms at most, after which bytes that do not fit are lost, and counted, until the writer moves on.
//
// Input is pumped from a reader only as fast as the guest takes it: never more than one buffer of it is held.
package serial
