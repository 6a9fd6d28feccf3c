// Package i8042 is the PC's keyboard controller, for the moment without keyboard and mouse, and port 92h.
//
// Source: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller" (status, command byte,
// commands); port 92h as "System Control Port A" in the same book. Commands and self-tests are answered at once, and a byte sent
// to a device that is not there comes back as a time-out error, so that a driver that probes does not wait.
//
// The A20 gate is recorded, and not obeyed: no guest of this board depends on addresses that wrap at 1 MiB.
package i8042
