// Package scsi is the SCSI target behind every controller that speaks it: logical units that take a command descriptor block and slices of guest
// memory, and give back a status, sense data and how much they moved. [Disk] follows SPC-4 and SBC-3, [CDROM] MMC-6; both are subsets, what they
// lack answers INVALID COMMAND OPERATION CODE.
//
// A controller either calls [Unit.Execute] from goroutines of its own, as ATAPI does, or leaves queues, order, limits of rate, aborts and resets to an
// [Engine], as the host bus adapters do.
//
// Data moves between guest memory and the image without a copy where the image is a [disk.VectorImage]; reads and writes allocate nothing.
package scsi
