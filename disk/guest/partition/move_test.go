package partition_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/guest/partition"
)

// moves are the changes of size that TestMoveBackup and TestMoveBackupCrash make, from 2 MiB.
var moves = []int{mib, 2*mib - 4096, 2*mib - 8*4096, 2 * mib, 2*mib + 4096, 2*mib + 3*4096, 2*mib + 20*4096, 3 * mib}

// moving returns the disk in front of a move to size.
func moving(ss, size int) *journal {
	return &journal{data: resized(gptOf(2*mib, ss, part{40, 99, "a"}, part{100, 150, "b"}), max(size, 2*mib))}
}

// holdsTable fails unless the table can be read.
func holdsTable(disk []byte, ss int) (*partition.Table, error) {
	tab, err := partition.Read(context.Background(), bytes.NewReader(disk), int64(len(disk)), ss)
	if err != nil {
		return nil, err
	}
	if tab.Scheme != partition.GPT || list(tab) != "1:40+60 2:100+51" {
		return nil, fmt.Errorf("read as %s: %s", tab.Scheme, list(tab))
	}
	return tab, nil
}

func TestMoveBackup(t *testing.T) {
	for _, ss := range []int{512, 4096} {
		for _, size := range moves {
			for _, torn := range []bool{false, true} {
				name := fmt.Sprintf("%d/%d/torn=%v", ss, size, torn)
				j := moving(ss, size)
				if torn {
					clear(j.data[ss : 2*ss])
				}
				if err := partition.MoveBackupGPT(t.Context(), j, 2*mib, int64(size), ss); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				end := j.data[:size]
				tab, err := holdsTable(end, ss)
				if err != nil || len(tab.Notes) > 0 || tab.Alternate != int64(size) {
					t.Errorf("%s: %+v, %v", name, tab, err)
				}
				if want := gptOf(size, ss, part{40, 99, "a"}, part{100, 150, "b"}); !bytes.Equal(sansCHS(end), sansCHS(want)) {
					t.Errorf("%s: not as a disk of that size would be made: remains of the old backup, or another header", name)
				}
				j.events = nil
				must(t, partition.MoveBackupGPT(t.Context(), j, 2*mib, int64(size), ss))
				if !bytes.Equal(sansCHS(j.data[:size]), sansCHS(end)) {
					t.Errorf("%s: a second call changed something", name)
				}
			}
		}
	}
}

// sansCHS returns the disk without the addresses by heads and cylinders, which say nothing.
func sansCHS(disk []byte) []byte {
	d := bytes.Clone(disk)
	clear(d[446+5 : 446+8])
	return d
}

// TestMoveBackupCrash cuts the power after each write, with any of those since the last flush lost, and finds the table, both by the
// old size and by the new one where the disk may have either. A second call then completes the move.
func TestMoveBackupCrash(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, ss := range []int{512, 4096} {
		for _, size := range moves {
			for _, torn := range []bool{false, true} {
				before := moving(ss, size)
				if torn {
					clear(before.data[ss : 2*ss])
				}
				j := &journal{data: bytes.Clone(before.data)}
				must(t, partition.MoveBackupGPT(t.Context(), j, 2*mib, int64(size), ss))
				crashes := 0
				for cut := range j.events {
					for range 1 + cut%2 {
						crashes++
						disk := replay(before.data, j.events[:cut], rng)
						_, err := holdsTable(disk, ss)
						if torn && err != nil { // then it is where the disk used to end
							_, err = holdsTable(disk[:2*mib], ss)
						}
						if err != nil {
							t.Fatalf("%d/%d/torn=%v, cut at %d of %d: %v", ss, size, torn, cut, len(j.events), err)
						}
						again := &journal{data: disk}
						if err := partition.MoveBackupGPT(t.Context(), again, 2*mib, int64(size), ss); err != nil {
							t.Fatalf("%d/%d/torn=%v, cut at %d: the second call: %v", ss, size, torn, cut, err)
						}
						if tab, err := holdsTable(again.data[:size], ss); err != nil || len(tab.Notes) > 0 {
							t.Fatalf("%d/%d/torn=%v, cut at %d: after the second call: %+v, %v", ss, size, torn, cut, tab, err)
						}
					}
				}
				if size != 2*mib && crashes < 30 {
					t.Errorf("only %d crashes", crashes)
				}
			}
		}
	}
}

// replay returns what a power failure may leave: all that was flushed, and any of the rest.
func replay(data []byte, events []event, rng *rand.Rand) []byte {
	d := bytes.Clone(data)
	flushed := 0
	for k, e := range events {
		if e.flush {
			flushed = k
		}
	}
	keep := rng.Float64()
	for k, e := range events {
		if !e.flush && (k < flushed || rng.Float64() < keep) {
			copy(d[e.off:], e.p)
		}
	}
	return d
}

// TestMoveBackupRefuses changes nothing where a partition would be cut, and where no table can be believed.
func TestMoveBackupRefuses(t *testing.T) {
	table := gptOf(2*mib, 512, part{40, 99, "a"}, part{1000, 3000, "b"})
	for _, c := range []struct {
		name  string
		size  int64
		spoil func([]byte)
		says  string
	}{
		{"partition behind the end", mib, func([]byte) {}, "partition 2 ends at byte 1536512"},
		{"partition meets the backup", 3001*512 + 10*512, func([]byte) {}, "partition 2 ends"},
		{"no room at all", 20 * 512, func([]byte) {}, "too small"},
		{"zero", 0, func([]byte) {}, "too small"},
		{"no table", 3 * mib, func(d []byte) { clear(d) }, "neither"},
		{"no intact table", 3 * mib, func(d []byte) { d[520] ^= 1; d[2*mib-500] ^= 1 }, "neither"},
	} {
		j := &journal{data: resized(table, max(2*mib, int(c.size)))}
		c.spoil(j.data)
		before := bytes.Clone(j.data)
		err := partition.MoveBackupGPT(t.Context(), j, 2*mib, c.size, 512)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if !bytes.Equal(j.data, before) {
			t.Errorf("%s: something was written", c.name)
		}
	}
	if err := partition.MoveBackupGPT(t.Context(), moving(512, mib), 2*mib, mib, 100); err == nil {
		t.Error("sectors of 100 bytes were taken")
	}
}

// TestMoveBackupFails passes on what the disk says.
func TestMoveBackupFails(t *testing.T) {
	j := moving(512, 3*mib)
	j.data = j.data[:2*mib] // as if it had not grown
	if err := partition.MoveBackupGPT(t.Context(), j, 2*mib, 3*mib, 512); err == nil || errors.Is(err, partition.ErrDamaged) {
		t.Error(err)
	}
}
