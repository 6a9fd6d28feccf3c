package partition_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/guest/partition"
)

// fuzzSize is the disk that FuzzTable makes of its input: what the input does not cover is zeroes, but for its last KiB, which is the disk's.
const fuzzSize = 128 << 10

func fuzzed(p []byte) []byte {
	disk := make([]byte, fuzzSize)
	if len(p) > 1024 {
		copy(disk[fuzzSize-1024:], p[len(p)-1024:])
		p = p[:len(p)-1024]
	}
	copy(disk, p)
	return disk
}

// mend gives the GPT headers of a disk the checksums that they should have, so that mutations get behind them.
func mend(disk []byte, ss int) {
	le := binary.LittleEndian
	for _, at := range []int{ss, len(disk) - ss} {
		h := disk[at : at+ss]
		size := le.Uint32(h[12:])
		array, length := le.Uint64(h[72:]), uint64(le.Uint32(h[80:]))*uint64(le.Uint32(h[84:]))
		if size < 92 || int(size) > ss || array > uint64(len(disk)/ss) || length > uint64(len(disk))-array*uint64(ss) {
			continue
		}
		le.PutUint32(h[88:], crc32.ChecksumIEEE(disk[array*uint64(ss):][:length]))
		clear(h[16:20])
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
	}
}

func FuzzTable(f *testing.F) {
	small := func(ss int) []byte {
		d := gptOf(fuzzSize, ss, part{40, 99, "a"}, part{100, 150, "b"})
		for _, at := range []int{ss, fuzzSize - ss} { // an array of four entries leaves a small input
			binary.LittleEndian.PutUint32(d[at+80:], 4)
		}
		copy(d[fuzzSize-ss-512:fuzzSize-ss], d[2*ss:])
		binary.LittleEndian.PutUint64(d[fuzzSize-ss+72:], uint64((fuzzSize-ss-512)/ss))
		mend(d, ss)
		return append(d[:2*ss+512:2*ss+512], d[fuzzSize-1024:]...)
	}
	f.Add(small(512))
	f.Add(small(4096))
	disk := make([]byte, 8192)
	put(disk, 0, mbrOf([3]uint32{7, 20, 30}, [3]uint32{5, 2, 200}))
	put(disk, 2, mbrOf([3]uint32{0x83, 60, 10}, [3]uint32{5, 5, 50}))
	put(disk, 7, mbrOf([3]uint32{0x83, 100, 10}))
	f.Add(disk)
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, ss := range []int{512, 4096} {
			disk := fuzzed(p)
			exercise(t, disk, ss)
			mend(disk, ss)
			exercise(t, disk, ss)
		}
	})
}

// places is list without the problems: an entry outside what the header calls usable is inside it afterwards.
func places(t *partition.Table) string { return strings.ReplaceAll(list(t), "!", "") }

// exercise reads the table and moves its backup, which must neither change a partition nor lose the table.
func exercise(t *testing.T, disk []byte, ss int) {
	tab, err := partition.Read(t.Context(), bytes.NewReader(disk), int64(len(disk)), ss)
	if err != nil {
		return
	}
	for _, e := range tab.Entries {
		if e.Offset < 0 || e.Length < 0 || e.End() < e.Offset || e.Problem == "" && e.End() > int64(len(disk)) {
			t.Fatalf("partition %+v of a disk of %d bytes", e, len(disk))
		}
	}
	if tab.Scheme != partition.GPT || tab.SectorSize != ss {
		return
	}
	for _, size := range []int{len(disk) - 3*4096, len(disk), len(disk) + 4096, 2 * len(disk)} {
		j := &journal{data: resized(disk, max(size, len(disk)))}
		if err := partition.MoveBackupGPT(t.Context(), j, int64(len(disk)), int64(size), ss); err != nil {
			if len(j.events) > 0 {
				t.Fatalf("to %d: wrote before it refused: %v", size, err)
			}
			continue
		}
		for _, e := range tab.Entries {
			from, to := min(e.Offset, int64(len(disk))), min(e.End(), int64(len(disk)))
			if !bytes.Equal(j.data[from:to], disk[from:to]) {
				t.Fatalf("to %d: changed partition %d", size, e.Number)
			}
		}
		after, err := partition.Read(t.Context(), bytes.NewReader(j.data[:size]), int64(size), ss)
		if err != nil || places(after) != places(tab) || len(after.Notes) > len(tab.Notes) {
			t.Fatalf("to %d: %v, was %s: %v", size, after, list(tab), err)
		}
	}
}
