package fwcfg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const ram = 0x4000

func newDevice(t testing.TB) (*Device, *memory.Guest, *[]byte) {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Base: 0, Host: make([]byte, ram)})
	if err != nil {
		t.Fatal(err)
	}
	d := New(mem, nil)
	var written []byte
	for _, err := range []error{
		d.AddItem(5, []byte{2, 0}),
		d.AddFile("etc/plain", []byte("plain text")),
		d.AddComputedFile("etc/made", 8, func() ([]byte, error) { return []byte("made"), nil }),
		d.AddComputedFile("etc/failing", 4, func() ([]byte, error) { return nil, errors.New("no") }),
		d.AddComputedFile("etc/long", 1, func() ([]byte, error) { return []byte("long"), nil }),
		d.AddWritableFile("etc/written", make([]byte, 8), func(b []byte) { written = append([]byte(nil), b...) }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return d, mem, &written
}

func out(d *Device, offset uint64, p ...byte) { d.Write(offset, p) }

func read(d *Device, key uint16, n int) []byte {
	out(d, offSelect, byte(key), byte(key>>8))
	p := make([]byte, n)
	for i := range p {
		d.Read(offData, p[i:i+1])
	}
	return p
}

// find looks a file up as firmware does.
func find(t testing.TB, d *Device, name string) (key uint16, size int) {
	t.Helper()
	n := binary.BigEndian.Uint32(read(d, keyDirectory, 4))
	for range n {
		e := make([]byte, entrySize)
		for i := range e {
			d.Read(offData, e[i:i+1])
		}
		if string(bytes.TrimRight(e[8:], "\x00")) == name {
			return binary.BigEndian.Uint16(e[4:]), int(binary.BigEndian.Uint32(e))
		}
	}
	t.Fatalf("there is no file %s", name)
	return 0, 0
}

func TestPorts(t *testing.T) {
	d, _, _ := newDevice(t)
	for _, c := range []struct {
		key  uint16
		want string
	}{
		{keySignature, "QEMU\x00\x00"}, {keyFeatures, "\x03\x00\x00\x00\x00"}, {5, "\x02\x00\x00"}, {0x1234, "\x00\x00"},
	} {
		if got := read(d, c.key, len(c.want)); string(got) != c.want {
			t.Errorf("item %#x is %q, want %q", c.key, got, c.want)
		}
	}
	var sig [8]byte
	d.Read(offDMA, sig[:])
	if string(sig[:]) != dmaSignature {
		t.Errorf("DMA register reads %q", sig)
	}
	for name, want := range map[string]string{"etc/plain": "plain text", "etc/made": "made\x00\x00\x00\x00", "etc/failing": "\x00\x00\x00\x00", "etc/long": "\x00"} {
		key, size := find(t, d, name)
		if size != len(want) {
			t.Errorf("%s has %d bytes", name, size)
		}
		if got := read(d, key, size); string(got) != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

// request puts a transfer's description at 0x100 and starts it; it returns the control field afterwards.
func request(t testing.TB, d *Device, mem *memory.Guest, control, length uint32, address uint64) uint32 {
	t.Helper()
	const at = 0x100
	b := binary.BigEndian.AppendUint32(nil, control)
	b = binary.BigEndian.AppendUint32(b, length)
	b = binary.BigEndian.AppendUint64(b, address)
	if err := mem.Write(at, b); err != nil {
		t.Fatal(err)
	}
	out(d, offDMA, 0, 0, 0, 0)
	out(d, offLow, 0, 0, at>>8, at&0xff)
	if err := mem.Read(at, b[:4]); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(b)
}

func TestDMA(t *testing.T) {
	d, mem, written := newDevice(t)
	plain, _ := find(t, d, "etc/plain")
	target, size := find(t, d, "etc/written")
	sel := func(key uint16) uint32 { return uint32(key)<<16 | dmaSelect }
	if err := mem.Write(0x800, []byte("12345678")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		control, length uint32
		address         uint64
		want            uint32
	}{
		{"select and skip", sel(plain) | dmaSkip, 6, 0, 0},
		{"read with zeroes after the end", dmaRead, 6, 0x200, 0},
		{"past the end again", dmaRead, 2, 0x208, 0},
		{"skip without end", dmaSkip, 1<<32 - 1, 0, 0},
		{"skip without end again", dmaSkip, 1<<32 - 1, 0, 0},
		{"read outside RAM", sel(plain) | dmaRead, 4, ram - 2, dmaError},
		{"read far outside RAM", sel(plain) | dmaRead, 4, 1<<64 - 1, dmaError},
		{"read too much", sel(plain) | dmaRead, 1<<32 - 1, 0x200, dmaError},
		{"write a read-only file", sel(plain) | dmaWrite, 4, 0x800, dmaError},
		{"write what is not there", sel(0x999) | dmaWrite, 4, 0x800, dmaError},
		{"write too much", sel(target) | dmaWrite, uint32(size) + 1, 0x800, dmaError},
		{"write from outside RAM", sel(target) | dmaWrite, 8, ram - 4, dmaError},
		{"write", sel(target) | dmaWrite, 8, 0x800, 0},
		{"write past the end", dmaWrite, 1, 0x800, dmaError},
		{"nothing", 0, 0, 0, 0},
	} {
		if got := request(t, d, mem, c.control, c.length, c.address); got != c.want {
			t.Errorf("%s: control %#x, want %#x", c.name, got, c.want)
		}
	}
	got := make([]byte, 6)
	if err := mem.Read(0x200, got); err != nil || string(got) != "text\x00\x00" {
		t.Errorf("DMA read %q, error %v", got, err)
	}
	if string(*written) != "12345678" {
		t.Errorf("DMA wrote %q", *written)
	}
}

func TestRefuses(t *testing.T) {
	d, _, _ := newDevice(t)
	for name, err := range map[string]error{
		"name taken": d.AddFile("etc/plain", nil), "no name": d.AddFile("", nil), "long name": d.AddFile(string(make([]byte, MaxName+1)), nil),
		"key of a file": d.AddItem(keyFirstFile, nil), "key taken": d.AddItem(5, nil), "key too large": d.AddItem(MaxKey+1, nil),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	var err error
	for i := 0; err == nil && i <= maxFiles; i++ {
		err = d.AddFile(string(rune('a'+i%26))+string(rune('a'+i/26)), nil)
	}
	if err == nil {
		t.Error("any number of files was taken")
	}
}

func TestState(t *testing.T) {
	d, mem, _ := newDevice(t)
	key, _ := find(t, d, "etc/made")
	read(d, key, 2)
	if got := request(t, d, mem, 0x24<<16|dmaSelect|dmaWrite, 2, 0x800); got != 0 {
		t.Fatalf("write: %#x", got)
	}
	read(d, key, 2)
	r := statetest.Cycle(t, d, func() state.Device { d, _, _ := newDevice(t); return d }).(*Device)
	p := make([]byte, 1)
	if r.Read(offData, p); p[0] != 'd' {
		t.Errorf("the restored device goes on with %q", p)
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 2, 0x19, 0, 1, 1, 4, 4, 0, 0, 0, 0, 8, 4, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		d, mem, _ := newDevice(t)
		for i := range uint64(ram / 16) { // something to find by DMA
			_ = mem.Write(i*16, []byte{0, byte(i), 0, byte(i * 7), 0, 0, byte(i >> 4), 0, 0, 0, 0, 0, 0, 0, byte(i), 0})
		}
		for len(script) >= 2 {
			offset, n := uint64(script[0]%Size), int(script[1]&7)+1
			n = min(n, Size-int(offset))
			var p [8]byte
			if script[1]&0x40 != 0 {
				d.Read(offset, p[:n])
				script = script[2:]
				continue
			}
			if script[1]&0x80 != 0 {
				d = statetest.Cycle(t, d, func() state.Device { d, _, _ := newDevice(t); return d }).(*Device)
			}
			script = script[2:]
			script = script[copy(p[:n], script):]
			d.Write(offset, p[:n])
		}
	})
}
