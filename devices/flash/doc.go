// Package flash is the parallel NOR flash chip in which UEFI firmware keeps its variables.
//
// Source: JEDEC JESD68.01 (Common Flash Interface) and JEP137 with Intel's command set 0001h; the commands as in Intel's 28FxxxJ3 StrataFlash
// datasheet, section "Device Operations". One chip, 8 bits wide, with equal blocks. The guest reads the array as memory, without exits; a command makes
// the chip answer with something else until the guest asks for the array again.
//
// # Power cuts
//
// Firmware updates its store in small steps, each of which leaves a store that it can read, and counts on one being complete before the next begins. So what a
// command changes goes to the file as one piece at the end of the command, or of a run of commands for adjacent bytes, and a piece is only begun when the one before
// it is durable. A piece that was cut off is what a chip has after a cut of its own.
//
// # Speed
//
// While the guest programs, KVM collects its stores (see gathering): they reach the chip and the file with the guest's next exit, or within 5 ms.
package flash
