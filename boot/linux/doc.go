// Package linux loads a bzImage by the 64-bit Linux boot protocol, version 2.12 or later, and enters it at its 64-bit entry point.
//
// Source: Linux Documentation/arch/x86/boot.rst, sections "The Real-Mode Kernel Header", "Details of Header Fields" and "64-bit
// Boot Protocol"; Documentation/arch/x86/zero-page.rst for boot_params.
package linux
