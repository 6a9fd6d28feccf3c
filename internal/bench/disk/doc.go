// Command disk measures vmm's disk tools and library against qemu-img, on the same files and in turns: `make bench-disk`.
//
//   - convert: milliseconds of `vmm disk convert` and of `qemu-img convert` from each format to each, on a disk of 2 GiB that holds 1 GiB of noise,
//     text and half-empty pages, and from and to raw on a disk of 16 GiB with 10 000 separate extents. Huge is the same from raw with 8 TiB. qemu-img runs with `-t writeback`, which has it
//     sync what it wrote as vmm always does; without, it leaves that to the kernel, which is shown beside.
//   - check, compare, map: the same of these commands.
//   - random: microseconds per 4 KiB read and write in a fully allocated disk of 512 MiB through the library, against pread and pwrite at the
//     same places of the same file (of a compressed image, of the raw disk) and against `qemu-img bench` at depth 1, all three in the same order.
//   - memory: the peak of each converting process.
package main
