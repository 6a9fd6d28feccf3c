// Package firmware finds SeaBIOS and OVMF on the host, and makes the files by which they learn what machine they start: the memory map, the ACPI
// and SMBIOS tables with the script that places them, and the order to boot in.
//
// Source: QEMU, docs/specs/fw_cfg and hw/acpi's table loader interface as SeaBIOS (src/fw/romfile_loader.h) and OVMF (QemuLoader.h) read
// it; SeaBIOS, docs/Runtime_config.md, for the files that it looks for; OVMF, README.
package firmware
