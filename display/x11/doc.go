// Package x11 shows a machine's screen in a window of an X server, or on all of its screen, and takes the user's keys, pointer and clipboard for it
// (X Window System Protocol, version 11; MIT-SHM 1.2; RENDER 0.5 for cursors; XKB for detectable auto-repeat; ICCCM and EWMH for window managers).
//
// A key is passed on as the place that it has on the keyboard: X servers on Linux number keys as the kernel does, plus 8. What the host's layout makes of it
// does not count. A pointer is passed on as a place where the guest has a tablet, and as motion where it has only a mouse: then a click into the
// window grabs the pointer. A click also grabs the keyboard, so that the window manager's keys reach the guest. Ctrl and Alt, pressed together and let go without
// another key, release both; Ctrl+Alt+Enter switches between window and full screen.
//
// # Threads
//
// One goroutine reads events and never waits for the server's answers; another one paints, and does what has to be asked. The connection has a deadline
// for each write and each answer, and bounds the length of an answer: an X server that hangs or talks nonsense costs the window, nothing else.
package x11
