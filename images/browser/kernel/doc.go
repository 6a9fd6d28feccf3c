// Package kernel builds the small kernel of the browser machine: Debian's sources, pinned down to their checksum, with nothing but what the guest of the
// fast board needs, all of it built in. It starts sooner than Debian's own kernel, which brings drivers as modules, and is no part of a test run: compiling
// takes a quarter of an hour on two processors. The build names no date, user, host or folder, so that the same compiler makes the same bytes.
//
//	vmlinux            ELF, to be started by PVH
//	vmlinux.copyright  the licence
//	kernel.json        what it was made of
//
// Sources: Linux, Documentation/kbuild/reproducible-builds.rst and kconfig.rst (merge_config.sh).
package kernel
