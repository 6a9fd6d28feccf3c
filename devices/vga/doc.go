// Package vga is a VGA with a linear frame buffer, as firmware and operating systems know it from Bochs and QEMU: PCI 1234:1111.
//
//   - The VGA of IBM: CRT controller, sequencer, graphics and attribute controllers, DAC (IBM VGA XGA Technical Reference, 1992, section 2), 256 KiB in four
//     planes behind the window A0000h-BFFFFh with its write modes 0 to 3; text, CGA, 16 and 256 colour modes.
//   - The Bochs VBE extensions (VBE DISPI, version B0C5h): index port 1CEh, data port 1CFh; modes of 4, 8, 15, 16, 24 and 32 bits a pixel, virtual screens, banks.
//   - As in QEMU's docs/specs/standard-vga.rst: BAR 0 is video memory, BAR 2 has EDID at 0, ports 3C0h-3DFh at 400h, DISPI registers at 500h and the byte order at 600h.
//
// In the direct colour modes the surface is the video memory itself: nothing is copied, and what has changed is learnt from the log that the hypervisor keeps while
// somebody looks. All other modes are drawn into memory of the device's own when somebody looks and something changed.
//
// Text and cursor do not blink: that would have each viewer draw for ever, over whatever distance. Left out are pixel panning, the light pen, big endian
// frame buffers and interrupts at the vertical retrace; the retrace bit toggles with each look at it.
package vga
