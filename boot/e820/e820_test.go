package e820

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/boot/layout"
)

func TestMap(t *testing.T) {
	for _, ram := range []uint64{2 * layout.MiB, 256 * layout.MiB, 3 * layout.GiB, 8 * layout.GiB} {
		l, err := layout.New(ram, 40)
		if err != nil {
			t.Fatal(err)
		}
		var end, usable uint64
		for _, e := range Map(l) {
			if e.Base < end || e.Size == 0 || e.Base+e.Size < e.Base {
				t.Errorf("%d MiB: entry %#x begins before %#x or is empty", ram/layout.MiB, e, end)
			}
			end = e.Base + e.Size
			if e.Type != RAM {
				continue
			}
			usable += e.Size
			if !l.Low.Contains(e.Base, e.Size) && !l.High.Contains(e.Base, e.Size) {
				t.Errorf("%d MiB: %#x is called RAM and is none", ram/layout.MiB, e)
			}
		}
		if want := ram - (layout.HighMemory - layout.EBDA); usable != want {
			t.Errorf("%d MiB: %#x bytes usable, want %#x", ram/layout.MiB, usable, want)
		}
	}
}

func TestEncoding(t *testing.T) {
	got := Entry{0x1122334455667788, 0x1000, NVS}.AppendTo(nil)
	want := []byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0}
	if !bytes.Equal(got, want) || len(got) != EntrySize {
		t.Errorf("% x", got)
	}
}
