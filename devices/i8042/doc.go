// Package i8042 is the PC's keyboard controller, the keyboard and the mouse behind it, and port 92h. A board that only wants the reset line leaves
// the two devices out.
//
// Sources: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device Controller" (status, command byte,
// commands, translation), "Keyboards (101- and 102-Key)" (commands, scan code sets 1 to 3) and "Mouse" (commands, data packet); port 92h as "System
// Control Port A" in the same book; Microsoft, "Key Support, Keyboard Scan Codes, and Windows" (keys beyond the 102); Microsoft, "Intellimouse" and
// "5-button scrolling mouse" (the sample rates that unlock the wheel and the buttons). Commands and self-tests are answered at once, and a byte sent
// to a device that is not there comes back as a time-out error, so that a driver that probes does not wait.
//
// What a guest does not read is bounded, and never leaves a key or a button stuck: a device that has no room remembers what it has told, and tells the
// difference once there is room.
//
// The A20 gate is recorded, and not obeyed: no guest of this board depends on addresses that wrap at 1 MiB. In scan code set 3 every key repeats and
// tells its release, whatever the guest chose for it.
package i8042
