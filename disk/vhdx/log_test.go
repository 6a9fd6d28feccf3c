package vhdx_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/vhdx"
)

const (
	path       = "d/disk.vhdx"
	header1    = 64 << 10
	header2    = 128 << 10
	regions1   = 192 << 10
	regions2   = 256 << 10
	logAt      = mib
	metadataAt = 2 * mib
	tableAt    = 3 * mib
	blocksAt   = 4 * mib
)

var le = binary.LittleEndian

// killed returns the file of a 4 MiB disk in blocks of 1 MiB whose second block holds 0x5a, as a writer leaves it that is killed after
// a flush: the table's entry is in the log only.
func killed(tb testing.TB) []byte {
	tb.Helper()
	files := disktest.NewRecorder()
	if err := vhdx.Create(path, disk.CreateOptions{Size: 4 * mib, BlockSize: mib, Files: files}); err != nil {
		tb.Fatal(err)
	}
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := i.WriteAt(bytes.Repeat([]byte{0x5a}, mib), mib); err != nil {
		tb.Fatal(err)
	}
	if err := i.Flush(); err != nil {
		tb.Fatal(err)
	}
	return files.Get(path)
}

// expected is what a killed disk reads as.
func expected() []byte {
	want := make([]byte, 4*mib)
	copy(want[mib:], bytes.Repeat([]byte{0x5a}, mib))
	return want
}

// contents opens an image in memory and reads it.
func contents(t *testing.T, img []byte, readOnly bool) ([]byte, *disktest.Recorder) {
	t.Helper()
	files := disktest.NewRecorder()
	files.Put(path, img)
	i, err := vhdx.Open(path, disk.OpenOptions{ReadOnly: readOnly, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	if !i.Info().Unclean || len(i.Info().Warnings) == 0 {
		t.Errorf("nothing is said about the log: %+v", i.Info())
	}
	p := make([]byte, i.Size())
	if _, err := i.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	return p, files
}

func TestReplay(t *testing.T) {
	img := killed(t)
	if le.Uint64(img[tableAt+8:]) != 0 {
		t.Fatal("the table is written before its log entry is durable")
	}
	got, files := contents(t, img, true)
	if !bytes.Equal(got, expected()) || files.Events() != 0 {
		t.Errorf("read-only: not read as flushed, or the file changed (%d events)", files.Events())
	}
	got, files = contents(t, img, false)
	if !bytes.Equal(got, expected()) {
		t.Error("not read as flushed")
	}
	i, err := vhdx.Open(path, disk.OpenOptions{ReadOnly: true, Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if i.Info().Unclean {
		t.Error("the log is still in use after it was replayed")
	}
}

// TestQemuReplays has qemu replay the log that we write.
func TestQemuReplays(t *testing.T) {
	tool := disktest.FindTool(t, "qemu-img", "qemu-utils")
	dir := disktest.Dir(t)
	file, raw := filepath.Join(dir, "disk.vhdx"), filepath.Join(dir, "want.raw")
	if err := errors.Join(os.WriteFile(file, killed(t), 0o600), os.WriteFile(raw, expected(), 0o600)); err != nil {
		t.Fatal(err)
	}
	tool.Run("check", "-q", "-r", "all", "-f", "vhdx", file)
	tool.Run("compare", "-f", "vhdx", "-F", "raw", file, raw)
}

// TestCramped runs the suites with log entries that hold one page, so that most flushes need several, and without caches.
func TestCramped(t *testing.T) {
	vhdx.Cramp(t)
	s := subjects()["small blocks"]
	t.Run("dynamic", func(t *testing.T) { disktest.Run(t, s) })
	t.Run("faults", func(t *testing.T) { disktest.Faults(t, s) })
	t.Run("crash", func(t *testing.T) { disktest.Crash(t, s) })
	s.Create = createChild
	t.Run("differencing", func(t *testing.T) { disktest.Run(t, s) })
	t.Run("differencing crash", func(t *testing.T) { disktest.Crash(t, s) })
}

// createChild makes a child of a disk that stores zeroes, so that each write has something to copy.
func createChild(path string, o disk.CreateOptions) error {
	o.Parent = path + ".parent"
	if err := vhdx.Create(o.Parent, disk.CreateOptions{Size: o.Size, BlockSize: mib, Files: o.Files}); err != nil {
		return err
	}
	i, err := vhdx.Open(o.Parent, disk.OpenOptions{Files: o.Files})
	if err != nil {
		return err
	}
	_, err = i.WriteAt(make([]byte, min(o.Size, 4*mib)), 0)
	if err := errors.Join(err, i.Close()); err != nil {
		return err
	}
	return vhdx.Create(path, o)
}

// entryAt is where the newest log entry of a killed disk lies: the first one, which is empty, is in the second half.
const entryAt = logAt

// TestLogEntries changes one thing each in the log's newest entry. One that is not valid does not count: the one before it does, which
// says nothing of the block.
func TestLogEntries(t *testing.T) {
	for name, c := range map[string]struct {
		change func(e []byte)
		broken bool // leave the checksum wrong
	}{
		"checksum":            {func(e []byte) { e[300] ^= 1 }, true},
		"signature":           {func(e []byte) { e[0] = 'x' }, false},
		"length 0":            {func(e []byte) { le.PutUint32(e[8:], 0) }, true},
		"length 2^32":         {func(e []byte) { le.PutUint32(e[8:], 1<<32-4096) }, true},
		"length odd":          {func(e []byte) { le.PutUint32(e[8:], 8191) }, true},
		"tail outside":        {func(e []byte) { le.PutUint32(e[12:], 1<<20) }, false},
		"tail elsewhere":      {func(e []byte) { le.PutUint32(e[12:], 4096) }, false},
		"sequence 0":          {func(e []byte) { le.PutUint64(e[16:], 0) }, false},
		"sequence differs":    {func(e []byte) { le.PutUint64(e[16:], 99) }, false},
		"2^32 descriptors":    {func(e []byte) { le.PutUint32(e[24:], 1<<32-1) }, false},
		"too few descriptors": {func(e []byte) { le.PutUint32(e[24:], 0) }, false},
		"another log's":       {func(e []byte) { e[32] ^= 1 }, false},
		"descriptor":          {func(e []byte) { e[64] = 'x' }, false},
		"descriptor's number": {func(e []byte) { e[64+24] ^= 4 }, false},
		"descriptor's place":  {func(e []byte) { e[64+16] ^= 1 }, false},
		"data's signature":    {func(e []byte) { e[4096] = 'x' }, false},
		"data's number":       {func(e []byte) { e[8191] ^= 4 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			img := killed(t)
			c.change(img[entryAt:])
			if !c.broken {
				vhdx.Seal(img[entryAt : entryAt+8192])
			}
			if got, _ := contents(t, img, true); !bytes.Equal(got, make([]byte, 4*mib)) {
				t.Error("an entry that is not valid was replayed")
			}
		})
	}
}

// TestHostileLog refuses logs whose changes cannot be.
func TestHostileLog(t *testing.T) {
	for name, c := range map[string]struct {
		change func(img []byte)
		want   string
	}{
		"no entries":       {func(p []byte) { clear(p[logAt : logAt+mib]) }, "no complete sequence"},
		"truncated file":   {func(p []byte) { le.PutUint64(p[entryAt+48:], 1<<40) }, "truncated"},
		"file of 2^62":     {func(p []byte) { le.PutUint64(p[entryAt+56:], 1<<62) }, "asks for a file"},
		"data at 2^63":     {func(p []byte) { le.PutUint64(p[entryAt+64+16:], 1<<63) }, "the log writes"},
		"zeroes of 2^63":   {func(p []byte) { zeroInstead(p, 0, 1<<63) }, "the log writes"},
		"zeroes the table": {func(p []byte) { zeroInstead(p, regions1, 128<<10) }, "region table"},
		"log version":      {func(p []byte) { le.PutUint16(p[header1+64:], 1); le.PutUint16(p[header2+64:], 1) }, "log version 1"},
		"no length":        {func(p []byte) { le.PutUint32(p[header1+68:], 0); le.PutUint32(p[header2+68:], 0) }, "no length"},
		"length 4 GiB": {func(p []byte) {
			le.PutUint32(p[header1+68:], 0xfff00000)
			le.PutUint32(p[header2+68:], 0xfff00000)
		}, "replaying a log"},
	} {
		t.Run(name, func(t *testing.T) {
			img := killed(t)
			c.change(img)
			vhdx.Mend(img)
			refused(t, img, c.want)
		})
	}
}

// zeroInstead makes the entry of a killed disk say zeroes.
func zeroInstead(p []byte, off, length uint64) {
	e := p[entryAt:]
	le.PutUint32(e[8:], 4096)
	copy(e[64:], "zero")
	le.PutUint32(e[68:], 0)
	le.PutUint64(e[72:], length)
	le.PutUint64(e[80:], off)
}

// TestReplayZeroes has the log say zeroes, which must undo what the file holds.
func TestReplayZeroes(t *testing.T) {
	img := killed(t)
	zeroInstead(img, blocksAt, mib/2)
	vhdx.MendLog(img)
	le.PutUint64(img[tableAt+8:], blocksAt|6)
	want := expected()
	clear(want[mib : mib+mib/2])
	for _, readOnly := range []bool{true, false} {
		if got, _ := contents(t, img, readOnly); !bytes.Equal(got, want) {
			t.Errorf("read-only %v: not zeroed", readOnly)
		}
	}
}

func refused(t *testing.T, img []byte, want string) {
	t.Helper()
	disktest.Refused(t, vhdx.Open, path, img, want)
}

// TestLoggedPages reads elsewhere while a page of the table is in the log only: without caches, it must stay in memory.
func TestLoggedPages(t *testing.T) {
	vhdx.Cramp(t)
	files := disktest.NewRecorder()
	if err := vhdx.Create(path, disk.CreateOptions{Size: 4 << 30, BlockSize: mib, Files: files}); err != nil {
		t.Fatal(err)
	}
	i, err := vhdx.Open(path, disk.OpenOptions{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	want, got := []byte("here"), make([]byte, 4)
	for _, off := range []int64{0, 1 << 30, 2 << 30, 3 << 30} {
		if _, err := i.WriteAt(want, off); err != nil {
			t.Fatal(err)
		}
		if err := i.Flush(); err != nil {
			t.Fatal(err)
		}
		for _, at := range []int64{3<<30 + mib, off} { // the first is in another page
			if _, err := i.ReadAt(got, at); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("byte %d: %q, want %q", off, got, want)
		}
	}
}

// TestLogOfHeaders fills the largest log with sectors that each begin an entry as long as the log: the time that it takes grows with the
// length of the log, and not with its square.
func TestLogOfHeaders(t *testing.T) {
	img := killed(t)
	const length, at = 32 * mib, 8 * mib
	guid := bytes.Clone(img[entryAt+32 : entryAt+48])
	img = append(img, make([]byte, at+length-len(img))...)
	for n := at; n < len(img); n += 4096 {
		e := img[n : n+4096]
		copy(e, "loge")
		le.PutUint32(e[8:], length)
		le.PutUint64(e[16:], 1)
		le.PutUint32(e[24:], length/4096-1) // one data sector for each
		copy(e[32:], guid)
		for d := 64; d < 4096; d += 32 {
			copy(e[d:], "desc")
			le.PutUint64(e[d+24:], 1)
		}
	}
	for _, h := range []int{header1, header2} {
		le.PutUint32(img[h+68:], length)
		le.PutUint64(img[h+72:], at)
	}
	vhdx.Mend(img)
	start := time.Now()
	refused(t, img, "no complete sequence")
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
}
