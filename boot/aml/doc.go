// Package aml encodes ACPI Machine Language, the byte code of a board's DSDT.
//
// Each function returns the encoding of one construct; they nest as the ASL source would. Sources: ACPI 6.5, chapter 20 (AML
// grammar) and section 6.4 (resource descriptors). Names and identifiers are constants of the program, not input: a malformed
// one panics, as in regexp.MustCompile.
package aml
