// Package vt takes a virtual terminal of the Linux kernel (vt(4), ioctl_vt(2), ioctl_console(2)) for a frontend that draws on the screen itself, and gives it back however
// the frontend ends.
//
// # Who holds what
//
// The terminal's modes outlive the processes that set them: a screen that nobody draws any more and a keyboard that is switched off would stay so after
// a crash. So a second process, the guard, sets them: it takes the kernel's requests to release and acquire the screen, passes them on to the frontend, and
// restores everything when the frontend closes its end of a socket, which the kernel also does for one that was killed. It waits until the frontend's process is gone,
// since that holds the graphics card until then. A guard that is killed itself is noticed by the frontend, which then restores the terminal.
//
//	frontend                              guard
//	  graphics card, input devices          terminal: KD_GRAPHICS, K_OFF, VT_PROCESS
//	        <── acquired, release ──
//	        ── released, switch to N, end ──>
package vt
