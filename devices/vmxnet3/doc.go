// Package vmxnet3 is VMware's paravirtual network card (15ad:07b0), revision 1 of its interface.
//
// VMware has published that interface as the headers of the driver that it maintains in Linux (drivers/net/vmxnet3/vmxnet3_defs.h and
// upt1_defs.h), which name all registers, commands and structures; names here are those. The driver describes its rings in memory that it
// shares with the card and starts it by a command; from then on a generation bit in each descriptor says whose it is, so that the
// doorbells carry nothing and the kernel can ring them.
//
// A frame that finds no buffer waits instead of being lost. Not implemented: large receive offload, wake-up, later revisions' data rings
// for received frames, encapsulation offloads.
package vmxnet3
