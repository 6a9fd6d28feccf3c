// Package debian fetches Debian packages without installing them and makes guest kernels of them.
//
// A Store is a folder (by default $XDG_CACHE_HOME/vmm/debian) with one folder per unpacked package, named
// NAME_VERSION. A folder appears there by a rename when it is complete, so an interrupted run leaves nothing that a later
// one could take for whole; a lock keeps concurrent runs from fetching the same package twice. What is there already
// needs neither network nor root nor apt.
//
// The kernel inside a Debian vmlinuz is compressed with XZ or LZ4, and unpacking it is most of a boot under emulation. The store
// therefore also keeps it as an ELF file, which a monitor starts by PVH (Linux x86 boot protocol, Documentation/arch/x86/boot.rst,
// fields payload_offset and payload_length).
package debian
