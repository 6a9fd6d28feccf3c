// Package smbios builds the SMBIOS structures that tell a guest what machine it runs on: names, serial number, UUID, processors
// and memory.
//
// Source: DMTF DSP0134, System Management BIOS Reference Specification 3.3.0: section 5.2.2 (64-bit entry point), 6.1 (structures and
// their strings) and 7 (the structure types).
package smbios
