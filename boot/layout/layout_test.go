package layout

import "testing"

func TestNew(t *testing.T) {
	for _, c := range []struct {
		name            string
		ram             uint64
		bits            int
		low, high       uint64
		mmio64, mmio64n uint64
	}{
		{"smallest", 2 * MiB, 36, 2 * MiB, 0, 4 * GiB, 60 * GiB},
		{"256 MiB", 256 * MiB, 40, 256 * MiB, 0, 4 * GiB, 64 * GiB},
		{"just below the split", 0xB0000000 - PageSize, 40, 0xB0000000 - PageSize, 0, 4 * GiB, 64 * GiB},
		{"at the split", 0xB0000000, 40, 0x80000000, 0x30000000, 5 * GiB, 64 * GiB},
		{"4 GiB", 4 * GiB, 40, 2 * GiB, 2 * GiB, 6 * GiB, 64 * GiB},
		{"odd 6 GiB", 6*GiB + 4*MiB, 40, 2 * GiB, 4*GiB + 4*MiB, 9 * GiB, 64 * GiB},
		{"narrow addresses", 8 * GiB, 34, 2 * GiB, 6 * GiB, 10 * GiB, 6 * GiB},
		{"32 bits", GiB, 32, GiB, 0, 0, 0},
		{"full to the brim", 34 * GiB, 36, 2 * GiB, 32 * GiB, 36 * GiB, 28 * GiB},
		{"no room for the window", 62 * GiB, 36, 2 * GiB, 60 * GiB, 0, 0},
		{"HyperTransport region", 1000 * GiB, 48, 2 * GiB, 998 * GiB, 1002 * GiB, 10 * GiB},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := New(c.ram, c.bits)
			if err != nil {
				t.Fatal(err)
			}
			if l.Low.Size != c.low || l.High.Size != c.high || l.MMIO64 != (Window{c.mmio64, c.mmio64n}) {
				t.Errorf("low %#x high %#x mmio64 %#x", l.Low, l.High, l.MMIO64)
			}
			var total uint64
			for _, w := range l.RAMWindows() {
				total += w.Size
			}
			if total != c.ram {
				t.Errorf("windows hold %#x bytes of %#x", total, c.ram)
			}
			if l.Low.End() > l.ECAM.Base || l.ECAM.End() > l.MMIO32.Base || l.MMIO32.End() > IOAPIC {
				t.Errorf("windows overlap: %#x", l)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		ram  uint64
		bits int
	}{
		{"nothing", 0, 40},
		{"too small", MiB, 40},
		{"not whole pages", 4*MiB + 1, 40},
		{"more than the address bits", 64 * GiB, 36},
		{"more than HyperTransport allows", 1011 * GiB, 48},
		{"overflow", ^uint64(0) &^ 0xFFF, 52},
		{"bits too few", 64 * MiB, 20},
		{"bits too many", 64 * MiB, 64},
	} {
		if l, err := New(c.ram, c.bits); err == nil {
			t.Errorf("%s: accepted as %#x", c.name, l)
		}
	}
}

func TestWindowContains(t *testing.T) {
	w := Window{0x1000, 0x1000}
	for _, c := range []struct {
		base, size uint64
		want       bool
	}{
		{0x1000, 0x1000, true}, {0x1fff, 1, true}, {0x2000, 0, true},
		{0x1000, 0x1001, false}, {0xfff, 1, false}, {0x2000, 1, false}, {0x1800, ^uint64(0), false},
	} {
		if got := w.Contains(c.base, c.size); got != c.want {
			t.Errorf("Contains(%#x, %#x) = %v", c.base, c.size, got)
		}
	}
}

func TestPIRQ(t *testing.T) {
	for _, w := range []struct {
		slot, pin uint8
		want      int
	}{{0, 0, 4}, {1, 0, 5}, {3, 1, 4}, {24, 3, 7}, {25, 0, 0}, {31, 3, 3}} {
		if got := PIRQ(w.slot, w.pin); got != w.want {
			t.Errorf("slot %d pin %d: line %d, want %d", w.slot, w.pin, got, w.want)
		}
	}
}
