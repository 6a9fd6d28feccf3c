package guest_test

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

var ntfsJudge = judge{
	check: func(t *testing.T, image string) {
		t.Helper()
		disktest.FindTool(t, "ntfsfix", "ntfs-3g").Run("-n", image)
		// It compares $Bitmap with the clusters of every file.
		out := disktest.FindTool(t, "ntfsresize", "ntfs-3g").Run("--info", "--force", "--no-progress-bar", image)
		if !strings.Contains(out, "You might resize at") && !strings.Contains(out, "almost full") {
			t.Fatalf("ntfsresize: %s", out)
		}
	},
	files: func(t *testing.T, image, folder string) {
		t.Helper()
		list := disktest.FindTool(t, "ntfsls", "ntfs-3g").Run(image)
		for name := range strings.Lines(list) {
			if name = strings.TrimSpace(name); strings.HasSuffix(name, ".bin") {
				p, err := exec.Command("ntfscat", image, name).Output()
				must(t, err)
				must(t, os.WriteFile(filepath.Join(folder, name), p, 0o600))
			}
		}
	},
	free: func(t *testing.T, image string) int64 {
		t.Helper()
		out := disktest.FindTool(t, "ntfsinfo", "ntfs-3g").Run("-m", image)
		return number(t, out, `Free Clusters: (\d+)`) * number(t, out, `Cluster Size: (\d+)`)
	},
}

// makeNTFS makes a volume, puts files of total bytes there, and frees the clusters of some files again.
func makeNTFS(t *testing.T, size int64, total int, args ...string) string {
	t.Helper()
	image := blank(t, size)
	disktest.FindTool(t, "mkntfs", "ntfs-3g").Run(append(args, "-q", "-F", "-p", "0", "-H", "0", "-S", "0", image)...)
	folder, doomed := content(t, total)
	cp, truncate := disktest.FindTool(t, "ntfscp", "ntfs-3g"), disktest.FindTool(t, "ntfstruncate", "ntfs-3g")
	must(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			cp.Run("-q", image, path, d.Name())
		}
		return err
	}))
	info := disktest.FindTool(t, "ntfsinfo", "ntfs-3g")
	for _, name := range doomed {
		if st, err := os.Stat(filepath.Join(folder, name)); err == nil && st.Size() > 10000 {
			record := number(t, info.Run("-F", name, image), `Dumping Inode (\d+)`)
			truncate.Run(image, strconv.FormatInt(record, 10), "0x80", "0")
		}
	}
	return image
}

func TestNTFS(t *testing.T) {
	for _, c := range []struct {
		name        string
		size, total int
		args        []string
	}{
		{"4k", 40 * mib, 7 * mib, []string{"-s", "512"}},
		{"512", 40 * mib, 7 * mib, []string{"-s", "512", "-c", "512"}},
		{"64k", 40 * mib, 7 * mib, []string{"-s", "512", "-c", "65536"}},
		{"2M", 130 * mib, 2 * mib, []string{"-s", "512", "-c", "2097152"}},
		{"sector 4k", 40 * mib, 7 * mib, []string{"-s", "4096"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prove(t, makeNTFS(t, int64(c.size+7*kib), c.total, c.args...), "ntfs", ntfsJudge)
		})
	}
}

// TestNTFSRefused trusts nothing that Windows did not leave in order.
func TestNTFSRefused(t *testing.T) {
	clean := blank(t, 5*mib)
	disktest.FindTool(t, "mkntfs", "ntfs-3g").Run("-q", "-F", "-s", "512", "-p", "0", "-H", "0", "-S", "0", clean)
	sound, err := os.ReadFile(clean)
	must(t, err)
	cp := disktest.FindTool(t, "ntfscp", "ntfs-3g")
	source := filepath.Join(t.TempDir(), "source")
	hibernation := func(magic string) change {
		return change{program: func(image string) {
			must(t, os.WriteFile(source, append([]byte(magic), make([]byte, 9000)...), 0o600))
			cp.Run("-q", image, source, "HiberFil.sys")
		}}
	}
	// Records of 1 KiB start at cluster 4.
	record := func(number int) int { return 4*4096 + number*1024 }
	volumeFlags := func(flags uint16) change {
		return change{bytes: func(p []byte) {
			binary.LittleEndian.PutUint16(attribute(t, p[record(3):record(4)], 0x70)[0x18+10:], flags)
		}}
	}
	log := func(first, second []byte) change {
		return change{bytes: func(p []byte) {
			at := runStart(attribute(t, p[record(2):record(3)], 0x80)) * 4096
			copy(p[at:], first)
			copy(p[at+4096:], second)
		}}
	}
	for _, c := range []struct {
		name, says string
		change     change
	}{
		{"as made", "", change{}},
		{"dirty", "not cleanly unmounted", volumeFlags(1)},
		{"chkdsk", "work left", volumeFlags(0x4000)},
		{"version", "3.7", change{bytes: func(p []byte) { attribute(t, p[record(3):record(4)], 0x70)[0x18+9] = 7 }}},
		{"hibernated", "hibernated", hibernation("hibr")},
		{"hibernated, Windows 8", "hibernated", hibernation("HIBR")},
		{"hibernated, strange", "cannot be told", hibernation("what")},
		{"resumed", "", hibernation("wake")},
		{"never hibernated", "", hibernation("")},
		{"log closed", "", log(restart(7, 0xffff, 0), restart(8, 0xffff, 0))},
		{"log closed by flag", "", log(restart(8, 0, 2), restart(7, 0, 0))},
		{"log open", "its log is open", log(restart(7, 0xffff, 0), restart(8, 0, 0))},
		{"log half empty", "its log is open", log(restart(7, 0xffff, 0), nil)},
		{"log unknown", "not known", log([]byte("CHKD"), restart(8, 0xffff, 0))},
		{"record torn", "torn", change{bytes: func(p []byte) { p[record(6)+510]++ }}},
		{"record unused", "not in use", change{bytes: func(p []byte) { p[record(6)+0x16] = 0 }}},
		{"bitmap empty", "system file", change{bytes: func(p []byte) {
			clear(p[runStart(attribute(t, p[record(6):record(7)], 0x80))*4096:][:8])
		}}},
		{"bitmap short", "$Bitmap has", change{bytes: func(p []byte) {
			binary.LittleEndian.PutUint64(attribute(t, p[record(6):record(7)], 0x80)[0x38:], 100)
		}}},
		{"bitmap outside", "cannot be read", change{bytes: func(p []byte) {
			a := attribute(t, p[record(6):record(7)], 0x80)
			copy(a[binary.LittleEndian.Uint16(a[0x20:]):], "\x31\x01\xff\xff\x7f\x00")
		}}},
		{"no MFT", "damaged", change{bytes: func(p []byte) { p[0x30] = 100 }}},
		{"larger than the partition", "cut off", change{bytes: func(p []byte) { p[0x2a]++ }}},
		{"cluster size", "boot sector", change{bytes: func(p []byte) { p[0x0d] = 7 }}},
		{"BitLocker", "marks of", change{bytes: func(p []byte) { copy(p[0x1a8:], "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01") }}},
		{"shadow copies", "there are 1", change{bytes: func(p []byte) {
			const guid = "\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52"
			copy(p[0x1e00:], guid)
			binary.LittleEndian.PutUint64(p[0x1e30:], 4*mib)
			clear(p[4*mib:][:16*kib])
			copy(p[4*mib:], guid)
			p[4*mib+128], p[4*mib+256] = 2, 3
		}}},
		{"shadow copies, loop", "cannot be told", change{bytes: func(p []byte) {
			const guid = "\x6b\x87\x08\x38\x76\xc1\x48\x4e\xb7\xae\x04\x04\x6e\x6c\xc7\x52"
			copy(p[0x1e00:], guid)
			binary.LittleEndian.PutUint64(p[0x1e30:], 4*mib)
			clear(p[4*mib:][:16*kib])
			copy(p[4*mib:], guid)
			binary.LittleEndian.PutUint64(p[4*mib+0x28:], 4*mib)
		}}},
	} {
		got := judged(t, sound, c.change)
		refused := c.says != ""
		if !strings.HasPrefix(got.FileSystem, "ntfs") && !strings.HasSuffix(got.FileSystem, "ntfs") || !strings.Contains(got.Reason, c.says) ||
			refused != (got.Reason != "") || refused != (got.Unused == 0) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// patched returns a change of an image's bytes. What it does not change stays sparse.
func patched(t *testing.T, change func(p []byte)) func(string) {
	return func(image string) {
		before, err := os.ReadFile(image)
		must(t, err)
		p := bytes.Clone(before)
		change(p)
		f, err := os.OpenFile(image, os.O_RDWR, 0)
		must(t, err)
		defer f.Close()
		for at := 0; at < len(p); at += 4096 {
			if end := min(at+4096, len(p)); !bytes.Equal(p[at:end], before[at:end]) {
				_, err := f.WriteAt(p[at:end], int64(at))
				must(t, err)
			}
		}
	}
}

// attribute finds an attribute of a FILE record.
func attribute(t *testing.T, p []byte, kind uint32) []byte {
	le := binary.LittleEndian
	for at := int(le.Uint16(p[0x14:])); at+8 < len(p); at += int(le.Uint32(p[at+4:])) {
		if le.Uint32(p[at:]) == kind {
			return p[at:]
		}
	}
	t.Fatalf("no attribute %#x", kind)
	return nil
}

// runStart is the first cluster of an attribute.
func runStart(a []byte) (cluster int) {
	at := int(binary.LittleEndian.Uint16(a[0x20:]))
	n, m := int(a[at]&15), int(a[at]>>4)
	for k := m - 1; k >= 0; k-- {
		cluster = cluster<<8 | int(a[at+1+n+k])
	}
	return cluster
}

// restart makes a restart page of $LogFile.
func restart(lsn uint64, client, flags uint16) []byte {
	le := binary.LittleEndian
	p := make([]byte, 4096)
	copy(p, "RSTR")
	le.PutUint16(p[4:], 0x1e)
	le.PutUint16(p[6:], 9)
	le.PutUint32(p[0x10:], 4096)
	le.PutUint32(p[0x14:], 4096)
	le.PutUint16(p[0x18:], 0x30)
	le.PutUint16(p[0x1c:], 1)
	le.PutUint64(p[0x30:], lsn)
	le.PutUint16(p[0x30+0xc:], client)
	le.PutUint16(p[0x30+0xe:], flags)
	le.PutUint16(p[0x1e:], 5)
	for k := 510; k < len(p); k += 512 {
		le.PutUint16(p[k:], 5)
	}
	return p
}
