// Package acpipm is the board's power management: ACPI's fixed hardware as the ICH9 has it, the APM port that hands it to the
// guest, and the reset register.
//
// Sources: ACPI 6.5, sections 4.8.3 (fixed hardware: event and control registers, power button, PM timer) and 4.8.4.1 (general
// purpose events); Intel ICH9 datasheet, sections 13.7.5 (RST_CNT, port CF9h), 13.7.1 (APM) and 13.8.3 (PM block).
package acpipm
