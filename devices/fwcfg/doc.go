// Package fwcfg is the device by which a PC's firmware learns what machine it starts: numbered items, and files among them by name.
//
// Source: QEMU, docs/specs/fw_cfg ("QEMU Firmware Configuration Device"), which SeaBIOS, OVMF and Linux's driver follow. The selector is at
// port 510h, the data at 511h, and the DMA address, in big endian, at 514h. Items are read-only unless they were made writable; writing
// goes by DMA alone.
package fwcfg
