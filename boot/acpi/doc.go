// Package acpi builds the ACPI tables that describe the board to a guest.
//
// Source: ACPI 6.5: sections 5.2.5 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.10 (FACS), 5.2.12 (MADT), 4.8 (fixed hardware), 6.1 to 6.3 (device
// objects), 7.4 (\_Sx); PCI Firmware Specification 3.3, sections 4.1 (MCFG) and 4.5 (_OSC); IA-PC HPET Specification 1.0a, section
// 3.2.4; Microsoft, "Windows ACPI Emulated Devices Table" (WAET).
//
// Build makes the tables with the pointers among them left open; Place puts them into guest RAM and closes the pointers. A firmware that
// places tables itself takes the same Set through its own loader.
package acpi
