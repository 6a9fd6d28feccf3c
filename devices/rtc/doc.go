// Package rtc is a PC's real-time clock and CMOS memory, an MC146818 with the century byte of the PC/AT.
//
// Source: Motorola MC146818 data sheet ("Registers", "Interrupts", "Update cycle"); Intel ICH9 datasheet, section 13.6; the PC's use
// of CMOS memory as in Ralf Brown's CMOS memory map. The clock needs no ticker: registers follow from the host's clock
// when they are read, interrupt flags from the time that has passed since, and a timer runs only while the guest
// waits for an interrupt.
package rtc
