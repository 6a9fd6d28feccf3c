package qcow2

import (
	"encoding/binary"

	"github.com/sharevm/vmm/disk"
)

// snapshot is what the snapshot table says of an internal snapshot.
type snapshot struct {
	l1At      int64
	l1Entries int64
	// Created, since 1970.
	seconds, nanoseconds int64
	// Where its identifier lies in the file, and right behind that its name.
	textAt               int64
	idLength, nameLength int
}

// snapshotHeader is the fixed part of a snapshot's entry.
const snapshotHeader = 40

// maxSnapshotTable bounds the table, as qemu does.
const maxSnapshotTable = 64 << 20

// eachSnapshot calls fn with every snapshot, and returns where the table ends.
func eachSnapshot(file disk.File, h *header, fn func(snapshot) error) (int64, error) {
	size, err := file.Size()
	if err != nil {
		return 0, err
	}
	at := h.snapshotsAt
	var p [snapshotHeader]byte
	be := binary.BigEndian
	for n := range h.snapshots {
		if err := disk.ReadFull(file, p[:], at, "snapshot table"); err != nil {
			return 0, err
		}
		s := snapshot{
			l1At: int64(be.Uint64(p[:])), l1Entries: int64(be.Uint32(p[8:])),
			seconds: int64(be.Uint32(p[16:])), nanoseconds: int64(be.Uint32(p[20:])),
			textAt: at + snapshotHeader + int64(be.Uint32(p[36:])), idLength: int(be.Uint16(p[12:])), nameLength: int(be.Uint16(p[14:])),
		}
		length := s.textAt + int64(s.idLength+s.nameLength) - at
		switch {
		case s.l1Entries*8 > maxL1Bytes, s.l1Entries > 0 && (s.l1At <= 0 || s.l1At%h.clusterSize() != 0 || s.l1At > size-s.l1Entries*8):
			return 0, disk.Corrupt(file.Name(), at, "the L1 table of snapshot %d (%d entries at byte %d) leaves the file", n, s.l1Entries, s.l1At)
		case length > maxSnapshotTable || at+length-h.snapshotsAt > maxSnapshotTable:
			return 0, disk.Corrupt(file.Name(), at, "a snapshot table of more than %d bytes", maxSnapshotTable)
		case length > size-at:
			return 0, disk.Corrupt(file.Name(), at, "the file ends inside its snapshot table")
		}
		if err := fn(s); err != nil {
			return 0, err
		}
		at += (length + 7) / 8 * 8
	}
	return at, nil
}
