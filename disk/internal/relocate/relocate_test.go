package relocate_test

import (
	"bytes"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/internal/relocate"
)

// TestBlock copies data, zeroes over junk, and a block that the file's end cuts off.
func TestBlock(t *testing.T) {
	const n = 600 << 10
	content := bytes.Repeat([]byte{0xee}, 3*n)
	for k := range content[:n] {
		content[k] = byte(k>>8) | 1
	}
	clear(content[:300<<10])
	files := disktest.NewRecorder()
	files.Put("f", content)
	file, err := files.Open("f", disk.FileOptions{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := relocate.Block(file, 0, n, n); err != nil {
		t.Fatal(err)
	}
	copy(content[n:], content[:n])
	if !bytes.Equal(files.Get("f"), content) {
		t.Error("not copied as it was")
	}
	if err := relocate.Block(file, 3*n-1000, n, n); err != nil {
		t.Fatal(err)
	}
	clear(content[n : 2*n])
	copy(content[n:], content[3*n-1000:])
	if !bytes.Equal(files.Get("f"), content) {
		t.Error("a block that the file's end cuts off does not go on in zeroes")
	}
}
