// Package kiosktest shows a session on the screen of a host without a desktop: a PC in QEMU with a graphics card, keyboard and pointers that Linux has drivers for, whose
// emulated processor has virtualisation. QEMU's monitor types, and looks at what the screen shows.
//
// It is run by make test-kiosk, since each host takes half a minute to boot.
package kiosktest
