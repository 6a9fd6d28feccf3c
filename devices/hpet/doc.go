// Package hpet is the high precision event timer of the PC: a counter of 100 MHz and three comparators.
//
// Source: IA-PC HPET (High Precision Event Timers) Specification 1.0a, sections 2.3 (registers) and 2.4 (theory of operation). Each comparator can
// be periodic and of 32 or 64 bits; interrupts are edges or levels at an input of the IOAPIC, or in legacy replacement mode take the place of the
// 8254's and the clock's. Interrupts by message are not offered.
//
// The counter follows the host's clock, and a timer of the host runs only while a comparator waits for a match. A period that is shorter than the host can
// keep, or that was missed, gives one interrupt.
package hpet
