package disk

import "time"

// Snapshot is a state of a disk that an image keeps in its own file, beside the present one.
type Snapshot struct {
	ID      string
	Name    string
	Created time.Time
}

// Snapshotter is an image of a format that keeps snapshots in its own file.
type Snapshotter interface {
	Image
	// Snapshots lists them in the order of the file, at most [MaxSnapshots].
	Snapshots() ([]Snapshot, error)
}

// MaxSnapshots bounds what Snapshots lists, so that a file of garbage cannot fill memory.
const MaxSnapshots = 1000
