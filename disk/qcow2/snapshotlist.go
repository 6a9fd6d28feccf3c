package qcow2

import (
	"errors"
	"strings"
	"time"

	"github.com/sharevm/vmm/disk"
)

var _ disk.Snapshotter = (*Image)(nil)

// errEnough ends a walk through the snapshots.
var errEnough = errors.New("enough")

// Snapshots implements [disk.Snapshotter].
func (i *Image) Snapshots() ([]disk.Snapshot, error) {
	length, err := i.file.Size()
	if err != nil {
		return nil, err
	}
	h, err := readHeader(i.file, length)
	if err != nil {
		return nil, err
	}
	var list []disk.Snapshot
	_, err = eachSnapshot(i.file, h, func(s snapshot) error {
		if len(list) == disk.MaxSnapshots {
			return errEnough
		}
		text := make([]byte, s.idLength+s.nameLength)
		if err := disk.ReadFull(i.file, text, s.textAt, "snapshot table"); err != nil {
			return err
		}
		list = append(list, disk.Snapshot{
			ID: valid(text[:s.idLength]), Name: valid(text[s.idLength:]), Created: time.Unix(s.seconds, s.nanoseconds).UTC(),
		})
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

func valid(text []byte) string { return strings.ToValidUTF8(string(text), "\uFFFD") }
