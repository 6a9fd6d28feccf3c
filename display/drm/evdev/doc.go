// Package evdev takes keyboards, mice, touchpads, tablets and touchscreens from the Linux kernel (Documentation/input/event-codes.rst, include/uapi/linux/input.h) for
// a frontend that has no desktop below it: each device is grabbed, so that nobody else on the host hears what is typed, and devices that are plugged in later
// are found by inotify.
//
// Left alone are devices with nothing but a power, sleep or lid switch, which are the host's own (systemd-logind acts on them), and game controllers.
//
// A goroutine for each device reads its events; [Devices.SetActive], [Devices.SetLEDs] and Close may be called from any goroutine.
package evdev
