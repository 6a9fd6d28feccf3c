// Package input is how keys, buttons and motion reach a guest, whatever device takes them there.
//
// Events are Linux's (include/uapi/linux/input-event-codes.h): a key is a place on a PC keyboard, and what it types is the guest's layout's
// matter. Frontends make a [Source] of a [Hub]; devices are attached to it as a [Sink]. The hub keeps who holds what down, so that a
// key goes up where it went down, goes down once however often a frontend repeats it (repeats are the guest's), and goes up when the last
// frontend that holds it lets go, loses the focus or its connection.
//
// The tables beside it translate the codes to scan codes of set 1 (which is also what QEMU's extended key events of RFB hold), from X11's
// keysyms, from names that people type, and from text to what a US keyboard presses for it.
package input
