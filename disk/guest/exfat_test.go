package guest_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/guest"
)

// exfatClusters is the size of the volume that exfatOf makes, in clusters of 4 KiB.
const exfatClusters = 500

// exfatOf makes a small exFAT by the book, since not every machine has a program that does. The FAT starts in sector 24, the heap in
// sector 32; the bitmap is in clusters 2, the root directory in 5 and 6.
func exfatOf(change func(p []byte)) []byte {
	p := make([]byte, 32*512+exfatClusters*4096)
	le := binary.LittleEndian
	copy(p, "\xeb\x76\x90EXFAT   ")
	le.PutUint64(p[0x48:], uint64(len(p)/512))
	le.PutUint32(p[0x50:], 24)
	le.PutUint32(p[0x54:], 8)
	le.PutUint32(p[0x58:], 32)
	le.PutUint32(p[0x5c:], exfatClusters)
	le.PutUint32(p[0x60:], 5)
	le.PutUint16(p[0x68:], 0x100)
	p[0x6c], p[0x6d], p[0x6e] = 9, 3, 1
	copy(p[510:], "\x55\xaa")
	fat := p[24*512:]
	for c, next := range map[int]uint32{0: 0xfffffff8, 1: 0xffffffff, 2: 0xffffffff, 5: 6, 6: 0xffffffff} {
		le.PutUint32(fat[4*c:], next)
	}
	heap := p[32*512:]
	copy(heap, "\xff\xff") // clusters 2 to 17
	heap[exfatClusters/8-1] = 0x80
	root := heap[3*4096:]
	root[0] = 0x83 // a volume label
	for k := 32; k < 4096; k += 32 {
		root[k] = 0x05 // deleted files
	}
	entry := root[4096:]
	entry[0] = 0x81
	le.PutUint32(entry[20:], 2)
	le.PutUint64(entry[24:], (exfatClusters+7)/8)
	if change != nil {
		change(p)
	}
	sum := uint32(0)
	for k, b := range p[:11*512] {
		if k != 106 && k != 107 && k != 112 {
			sum = sum<<31 | sum>>1
			sum += uint32(b)
		}
	}
	for k := 11 * 512; k < 12*512; k += 4 {
		le.PutUint32(p[k:], sum)
	}
	return p
}

func TestExFAT(t *testing.T) {
	p := exfatOf(nil)
	l, err := guest.Scan(t.Context(), bytes.NewReader(p), int64(len(p)), 512)
	must(t, err)
	type run struct{ off, n int64 }
	var got []run
	must(t, l.Free(t.Context(), func(off, n int64) error { got = append(got, run{off, n}); return nil }))
	cluster := func(c int64) int64 { return 32*512 + (c-2)*4096 }
	// The byte with the bit of cluster 497 that is set, then four more clusters.
	want := []run{{cluster(18), (2 + 495 - 18) * 4096}, {cluster(498), 4 * 4096}}
	if l.Partitions[0].FileSystem != "exfat" || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v yields %v, want %v", l.Partitions, got, want)
	}
}

func TestExFATRefused(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name, says string
		change     func(p []byte)
	}{
		{"dirty", "not cleanly", func(p []byte) { p[0x6a] = 2 }},
		{"failure", "errors", func(p []byte) { p[0x6a] = 4 }},
		{"second FAT", "not known", func(p []byte) { p[0x6a] = 1 }},
		{"TexFAT", "not known", func(p []byte) { p[0x6e] = 2 }},
		{"version", "not known", func(p []byte) { p[0x69] = 2 }},
		{"cut off", "cut off", func(p []byte) { p[0x4a]++ }},
		{"sectors", "sizes", func(p []byte) { p[0x6c] = 20 }},
		{"clusters", "do not fit", func(p []byte) { p[0x5d]++ }},
		{"FAT short", "do not fit", func(p []byte) { p[0x54] = 3 }},
		{"root outside", "leads to cluster 0", func(p []byte) { p[0x60] = 0 }},
		{"root loops", "no allocation bitmap", func(p []byte) { le.PutUint32(p[24*512+20:], 5) }},
		{"root ends", "no allocation bitmap", func(p []byte) { p[32*512+3*4096+32] = 0 }},
		{"bitmap short", "bytes for", func(p []byte) { p[32*512+4*4096+24] = 60 }},
		{"bitmap outside", "leads to cluster", func(p []byte) { p[32*512+4*4096+22] = 1 }},
		{"bitmap free", "calls cluster 2 free", func(p []byte) { p[32*512] = 0xfe }},
		{"root free", "calls cluster 5 free", func(p []byte) { p[32*512] = 0xf7 }},
	} {
		p := exfatOf(c.change)
		l, err := guest.Scan(t.Context(), bytes.NewReader(p), int64(len(p)), 512)
		must(t, err)
		must(t, l.Free(t.Context(), func(off, n int64) error { t.Errorf("%s: free: %d at %d", c.name, n, off); return nil }))
		if got := l.Partitions[0]; got.FileSystem != "exfat" || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	p := exfatOf(nil)
	p[0x70]++ // the percentage in use is not summed up
	p[0x64]++ // the serial number is
	l, err := guest.Scan(t.Context(), bytes.NewReader(p), int64(len(p)), 512)
	must(t, err)
	if got := l.Partitions[0].Reason; !strings.Contains(got, "checksum") {
		t.Error(got)
	}
}
