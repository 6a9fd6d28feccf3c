// Package undo lets a tool change disk images and take it back: it stands between the tool and its files, and before a byte of a file is changed or cut
// off for the first time, what was there is saved in an undo file and is on the host's disk. [Apply] puts it back.
//
// # Format
//
// All numbers are little-endian. The file is a row of records, each at a multiple of 512 bytes:
//
//	0   8  "vmmundo" and a zero byte
//	8   4  version, 1
//	12  4  kind
//	16  16 session: random, the same in all records of a file
//	32  8  number of the record, from 0 on
//	40  8  how many records were durable when this one was written
//	48  4  number of the file that it is about, from 0 on
//	52  4  length of what follows the head, in bytes, at most 1 MiB
//	56  8  offset in the file that it is about
//	64  8  length there
//	72  4  CRC-32C of what follows the head
//	76  4  CRC-32C of the head up to here
//	80  -  what follows the head
//
// The kinds: start (the first record); file (its name, relative to the undo file's folder; length is its size before any change); created (a
// file that was not there before; its name); data (bytes of the file, as they were); zero (the same for a range of zeroes); after (what the
// range held when the tool was done: its CRC-32C); end (a file's size then); sealed (the tool was done); reverting (Apply began); reverted (Apply was done).
//
// # Crashes
//
// A change is made only after its records were synced. Where a record is missing or torn, the writer was interrupted, unless a later one
// says that it had been durable: then the undo file itself is damaged, and Apply refuses it. Putting back is done in the same way as often
// as it takes.
//
// # Trust
//
// An undo file is hostile input like an image: it names files inside its own folder only, unless the caller allows more, and cannot make Apply write
// anything but what it holds.
package undo
