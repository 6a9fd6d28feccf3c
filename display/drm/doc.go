// Package drm shows a machine's screen on the host's own, without a desktop: the picture by the kernel's mode setting (Documentation/gpu/drm-kms.rst, include/uapi/drm/drm.h and
// drm_mode.h), keys and pointers by package evdev, and the console that it takes away meanwhile by package vt, which gives it back however the process ends.
//
// The picture is copied to dumb buffers by its damage: to the one of two that is not on the screen, which then a page flip shows; or, where the card keeps a copy of its own (those of
// virtual machines), to a single one, of which the card is told what has changed. The mode is the one that the monitor prefers. A guest is asked for a picture of that size; one
// that has another is scaled, with black at the sides. The guest's cursor is the card's, where the card has one that is large enough, and drawn into the picture elsewhere.
//
// Ctrl+Alt+F1 to F12 switch to the kernel's other terminals. The card's master is dropped and the input devices are given back before one of those gets the screen.
//
// # Threads
//
// One goroutine, the painter's, owns card and output. Others read events of the card, of the kernel's devices (uevents), and of the input devices.
package drm
