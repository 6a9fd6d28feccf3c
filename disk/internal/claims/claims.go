// Package claims finds blocks of a file that more than one table entry points at.
package claims

import (
	"fmt"
	"slices"

	"github.com/sharevm/vmm/disk"
)

// window is how many blocks' worth of the file is looked at together. Sound claims in it take 32 MiB at most; of an
// unsound file's no more are kept.
const window = 8 << 20

// Overlaps adds a Damage to r for each block whose sectors another claims as well. Each calls its argument with the start sector of every
// block; it is called several times, so that memory stays bounded whatever the file claims. Blocks have length sectors, and lie
// below sector end.
func Overlaps(r *disk.Report, file string, length, end int64, each func(yield func(sector uint32)) error) error {
	step := max(length, 1) * window
	var starts []uint32
	for from := int64(0); from < end; from += step {
		starts = starts[:0]
		// A block that starts before the window can reach into it.
		low := from - length
		err := each(func(sector uint32) {
			if s := int64(sector); s >= low && s < from+step && len(starts) < 2*window {
				starts = append(starts, sector)
			}
		})
		if err != nil {
			return err
		}
		slices.Sort(starts)
		for i := 1; i < len(starts); i++ {
			if int64(starts[i]) >= from && int64(starts[i]) < int64(starts[i-1])+length {
				r.Add(disk.Problem{
					Severity: disk.Damage, File: file, Offset: int64(starts[i]) * 512,
					What: fmt.Sprintf("two blocks of the disk share this place (the other starts at byte %d)", int64(starts[i-1])*512),
				})
			}
		}
	}
	return nil
}
