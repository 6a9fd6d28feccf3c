// Package parcel is a snapshot in one file, to be kept elsewhere or taken to another host:
//
//	head    magic "vmmparc1", CRC-32C of the list (4 bytes), length of the list (4), the list: JSON, see Contents
//	pieces  one for each memory.SumUnit of a file that holds anything but zeroes: number of the file in the list (4), number of the unit in the file (4), CRC-32C of the unit's
//	        bytes (4), length of what follows (4), the unit as a Zstandard frame (RFC 8878)
//	end     ffffffffh (4), number of pieces (4), CRC-32C of the heads of all pieces (4), 0 (4)
//
// All numbers are little endian. Pieces come in ascending order, so that none is there twice. They know nothing of each other: all processors pack and unpack them. A parcel is
// hostile input: a file's name is one that a snapshot has, a piece takes a bounded amount of memory, and all of them together no more room than the list says.
package parcel
