package partition_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/guest/partition"
)

// list is the entries in short, in sectors of the table.
func list(t *partition.Table) string {
	var b strings.Builder
	for _, e := range t.Entries {
		ss := int64(t.SectorSize)
		fmt.Fprintf(&b, "%d:%d+%d", e.Number, e.Offset/ss, e.Length/ss)
		if e.Container {
			b.WriteString("x")
		}
		if e.Problem != "" {
			b.WriteString("!")
		}
		b.WriteString(" ")
	}
	return strings.TrimSpace(b.String())
}

func TestMBR(t *testing.T) {
	disk := make([]byte, mib)
	put(disk, 0, mbrOf([3]uint32{7, 63, 100}, [3]uint32{0x83, 200, 50}, [3]uint32{5, 300, 1000}))
	put(disk, 300, mbrOf([3]uint32{0x83, 1, 10}, [3]uint32{5, 100, 50}))
	put(disk, 400, mbrOf([3]uint32{0x82, 2, 20}, [3]uint32{5, 200, 50}))
	put(disk, 500, mbrOf([3]uint32{0x8e, 2, 20}))
	for _, c := range []struct {
		name, want string
		change     func()
	}{
		{"chain", "1:63+100 2:200+50 3:300+1000x 5:301+10 6:402+20 7:502+20", func() {}},
		{"empty first record", "1:63+100 2:200+50 3:300+1000x 5:402+20 6:502+20", func() {
			put(disk, 300, mbrOf([3]uint32{0, 0, 0}, [3]uint32{5, 100, 50}))
		}},
		{"beyond the container", "1:63+100 2:200+50 3:300+1000x 5:402+20 6:502+2000!", func() {
			put(disk, 500, mbrOf([3]uint32{0x8e, 2, 2000}))
		}},
		{"beyond the disk", "1:63+100 2:2000+50!", func() {
			put(disk, 0, mbrOf([3]uint32{7, 63, 100}, [3]uint32{0x83, 2000, 50}))
		}},
		{"overlap", "1:63+100! 2:70+5! 3:80+5! 4:163+1", func() {
			put(disk, 0, mbrOf([3]uint32{7, 63, 100}, [3]uint32{0x83, 70, 5}, [3]uint32{0x83, 80, 5}, [3]uint32{7, 163, 1}))
		}},
		{"largest numbers", "1:4294967295+4294967295!", func() {
			put(disk, 0, mbrOf([3]uint32{7, 1<<32 - 1, 1<<32 - 1}))
		}},
	} {
		c.change()
		tab, err := partition.Read(t.Context(), bytes.NewReader(disk), mib, 512)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := list(tab); tab.Scheme != partition.MBR || got != c.want {
			t.Errorf("%s: %s: %s, want %s", c.name, tab.Scheme, got, c.want)
		}
	}
}

// TestMBR4K counts in sectors of 4 KiB if the disk has such.
func TestMBR4K(t *testing.T) {
	disk := make([]byte, mib)
	put(disk, 0, mbrOf([3]uint32{7, 10, 20}, [3]uint32{5, 40, 100}))
	put(disk, 40*8, mbrOf([3]uint32{0x83, 2, 10}))
	tab, err := partition.Read(t.Context(), bytes.NewReader(disk), mib, 4096)
	must(t, err)
	if got := list(tab); got != "1:10+20 2:40+100x 5:42+10" || tab.Entries[2].Offset != 42*4096 {
		t.Error(got)
	}
}

func TestMBRDamaged(t *testing.T) {
	ext := mbrOf([3]uint32{5, 300, 1000})
	for _, c := range []struct {
		name string
		put  map[int][]byte
		says string
	}{
		{"loop to the start", map[int][]byte{0: ext, 300: mbrOf([3]uint32{0x83, 1, 10}, [3]uint32{5, 0, 50})}, "comes back"},
		{"loop", map[int][]byte{0: ext, 300: mbrOf([3]uint32{5, 10, 5}), 310: mbrOf([3]uint32{5, 20, 5}), 320: mbrOf([3]uint32{5, 10, 5})}, "comes back"},
		{"no signature", map[int][]byte{0: ext}, "no signature"},
		{"outside", map[int][]byte{0: ext, 300: mbrOf([3]uint32{5, 1000, 5})}, "outside"},
		{"behind the disk", map[int][]byte{0: mbrOf([3]uint32{5, 300, 1 << 30}), 300: mbrOf([3]uint32{5, 1 << 29, 5})}, "outside"},
		{"two", map[int][]byte{0: mbrOf([3]uint32{5, 300, 5}, [3]uint32{15, 400, 5}), 300: mbrOf(), 400: mbrOf()}, "two extended"},
	} {
		disk := make([]byte, mib)
		for at, p := range c.put {
			put(disk, at, p)
		}
		_, err := partition.Read(t.Context(), bytes.NewReader(disk), mib, 512)
		if !errors.Is(err, partition.ErrDamaged) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// More logical partitions than anybody can have.
	disk := make([]byte, mib)
	put(disk, 0, mbrOf([3]uint32{5, 1, 2000}))
	for k := range 300 {
		put(disk, 1+k, mbrOf([3]uint32{5, uint32(k + 1), 1}))
	}
	if _, err := partition.Read(t.Context(), bytes.NewReader(disk), mib, 512); !errors.Is(err, partition.ErrDamaged) || !strings.Contains(err.Error(), "256") {
		t.Error(err)
	}
}

// TestNoTable does not take a file system's boot sector, which has the same signature, for a partition table.
func TestNoTable(t *testing.T) {
	boot := mbrOf([3]uint32{0x20, 0x6b636f6c, 0x20657661})
	boot[446] = 'm'
	for name, sector := range map[string][]byte{"boot sector": boot, "empty table": mbrOf(), "zeroes": make([]byte, 512)} {
		tab, err := partition.Read(t.Context(), bytes.NewReader(resized(sector, mib)), mib, 0)
		if err != nil || tab.Scheme != "" || len(tab.Entries) != 0 {
			t.Errorf("%s: %+v, %v", name, tab, err)
		}
	}
	if _, err := partition.Read(t.Context(), bytes.NewReader(boot), 512, 520); err == nil {
		t.Error("sectors of 520 bytes were taken")
	}
}

func TestGPT(t *testing.T) {
	parts := []part{{40, 99, "EFI"}, {100, 150, "Basic\tdata ü"}}
	for _, ss := range []int{512, 4096} {
		whole := gptOf(2*mib, ss, parts...)
		last := 2*mib/ss - 1
		for _, c := range []struct {
			name   string
			spoil  func(disk []byte)
			note   string
			broken bool
		}{
			{"whole", func([]byte) {}, "", false},
			{"primary header", func(d []byte) { d[ss+30] ^= 1 }, "primary GPT is damaged", false},
			{"primary array", func(d []byte) { d[2*ss+40] ^= 1 }, "primary GPT is damaged", false},
			{"backup header", func(d []byte) { clear(d[last*ss:]) }, "backup GPT is damaged", false},
			{"both", func(d []byte) { d[ss+30] ^= 1; clear(d[last*ss:]) }, "", true},
			{"hybrid", func(d []byte) { copy(d[446+16:], mbrOf([3]uint32{7, 100, 50})[446:462]) }, "hybrid", false},
		} {
			for _, hint := range []int{0, 512, 4096} {
				disk := bytes.Clone(whole)
				c.spoil(disk)
				tab, err := partition.Read(t.Context(), bytes.NewReader(disk), int64(len(disk)), hint)
				if c.broken {
					if !errors.Is(err, partition.ErrDamaged) {
						t.Errorf("%s: %v", c.name, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if tab.Scheme != partition.GPT || tab.SectorSize != ss || list(tab) != "1:40+60 2:100+51" || tab.Entries[1].Name != "Basicdata ü" ||
					tab.Entries[0].Kind != "Microsoft basic data" || tab.Tail != int64(16384+ss) || tab.Alternate != 2*mib {
					t.Errorf("%s: %+v", c.name, tab)
				}
				if notes := strings.Join(tab.Notes, " "); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
					t.Errorf("%s: notes %q", c.name, notes)
				}
			}
		}
	}
	// After the disk grew.
	tab, err := partition.Read(t.Context(), bytes.NewReader(resized(gptOf(2*mib, 512, parts...), 3*mib)), 3*mib, 512)
	if err != nil || tab.Alternate != 2*mib || len(tab.Notes) != 1 {
		t.Errorf("%+v, %v", tab, err)
	}
	// A GPT that no protective MBR announces is an old one's remains.
	stale := gptOf(2*mib, 512, parts...)
	put(stale, 0, mbrOf([3]uint32{0x83, 2048, 1000}))
	tab, err = partition.Read(t.Context(), bytes.NewReader(stale), 2*mib, 512)
	if err != nil || tab.Scheme != partition.MBR || list(tab) != "1:2048+1000" {
		t.Errorf("%+v, %v", tab, err)
	}
}

func TestGPTEntries(t *testing.T) {
	for _, c := range []struct {
		parts []part
		want  string
	}{
		{[]part{{40, 39, ""}}, "1:0+0!"},
		{[]part{{40, 1 << 60, ""}}, "1:0+0!"},
		{[]part{{40, 1 << 49, ""}}, fmt.Sprintf("1:40+%d!", int64(1<<49-39))},
		{[]part{{3, 50, ""}}, "1:3+48!"},
		{[]part{{40, 100, ""}, {100, 110, ""}, {111, 120, ""}}, "1:40+61! 2:100+11! 3:111+10"},
	} {
		tab, err := partition.Read(t.Context(), bytes.NewReader(gptOf(2*mib, 512, c.parts...)), 2*mib, 512)
		if err != nil || list(tab) != c.want {
			t.Errorf("%v: %s, want %s (%v)", c.parts, list(tab), c.want, err)
		}
	}
}
