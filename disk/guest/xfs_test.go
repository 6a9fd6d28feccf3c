package guest_test

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
)

// xfsFiles is how many files makeXFS makes. Every second one goes again, which leaves more holes than one block of the B+tree lists.
const xfsFiles = 400

var xfsJudge = judge{
	check: func(t *testing.T, image string) {
		t.Helper()
		disktest.FindTool(t, "xfs_repair", "xfsprogs").Run("-n", "-f", image)
	},
	files: func(t *testing.T, image, folder string) {
		t.Helper()
		db := disktest.FindTool(t, "xfs_db", "xfsprogs")
		p, err := os.ReadFile(image)
		must(t, err)
		super := db.Run("-r", "-f", "-c", "sb 0", "-c", "p blocksize agblocks", image)
		bs, agBlocks := number(t, super, `blocksize = (\d+)`), number(t, super, `agblocks = (\d+)`)
		// Which files there are, then how long each is and where its blocks are.
		args := []string{"-r", "-f"}
		names := regexp.MustCompile(` (f\d+) \(good\)`).FindAllStringSubmatch(db.Run("-r", "-f", "-c", "path /", "-c", "ls", image), -1)
		for _, name := range names {
			args = append(args, "-c", "path /"+name[1], "-c", "p core.size", "-c", "bmap")
		}
		var size, file int64
		var content []byte
		done := func() {
			if size > 0 {
				must(t, os.WriteFile(filepath.Join(folder, names[file-1][1]), content[:size], 0o600))
			}
			size, content = 0, nil
		}
		for line := range strings.Lines(db.Run(append(args, image)...)) {
			var at, block, count, ag, agBlock int64
			if n, _ := fmt.Sscanf(line, "data offset %d startblock %d (%d/%d) count %d", &at, &block, &ag, &agBlock, &count); n == 5 {
				content = append(content, p[(ag*agBlocks+agBlock)*bs:][:count*bs]...)
			} else if strings.HasPrefix(line, "core.size") {
				done()
				size = number(t, line, `core.size = (\d+)`)
				file++
			}
		}
		done()
	},
	free: func(t *testing.T, image string) int64 {
		t.Helper()
		out := disktest.FindTool(t, "xfs_db", "xfsprogs").Run("-r", "-f", "-c", "sb 0", "-c", "p fdblocks blocksize", image)
		return number(t, out, `fdblocks = (\d+)`) * number(t, out, `blocksize = (\d+)`)
	},
}

// makeXFS makes a file system with files. xfs_db then damages the inode of every second one, so that xfs_repair throws it away.
func makeXFS(t *testing.T, size int64, args ...string) string {
	t.Helper()
	// Without these three, mkfs.xfs makes nothing below 300 MiB.
	for _, name := range []string{"TEST_DIR", "TEST_DEV", "QA_CHECK_FS"} {
		t.Setenv(name, "1")
	}
	mkfs, db, repair := disktest.FindTool(t, "mkfs.xfs", "xfsprogs"), disktest.FindTool(t, "xfs_db", "xfsprogs"), disktest.FindTool(t, "xfs_repair", "xfsprogs")
	image := blank(t, size)
	folder, _ := content(t, 2*mib)
	var sources []string
	must(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if st, err := d.Info(); err == nil && st.Size() < 50000 {
				sources = append(sources, path)
			}
		}
		return err
	}))
	proto := filepath.Join(folder, "proto")
	script := "/\n0 0\nd--755 0 0\n"
	for k := range xfsFiles {
		script += fmt.Sprintf("f%d ---644 0 0 %s\n", k, sources[k%len(sources)])
	}
	must(t, os.WriteFile(proto, []byte(script+"$\n"), 0o600))
	mkfs.Run(append(args, "-q", "-f", "-p", proto, image)...)
	breaking := []string{"-x", "-f"}
	for k := 1; k < xfsFiles; k += 2 {
		breaking = append(breaking, "-c", fmt.Sprintf("path /f%d", k), "-c", "write core.format 7")
	}
	db.Run(append(breaking, image)...)
	repair.Run("-f", "-o", "force_geometry", image)
	return image
}

func TestXFS(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"v5", nil},
		{"1k", []string{"-b", "size=1024"}},
		{"one group", []string{"-b", "size=1024", "-d", "agcount=2", "-m", "rmapbt=1"}},
		{"v4", []string{"-m", "crc=0", "-b", "size=512"}},
		{"sector 4k", []string{"-s", "size=4096", "-l", "su=32k"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			prove(t, makeXFS(t, 48*mib+24*kib, c.args...), "xfs", xfsJudge)
		})
	}
}

// TestXFSDeep has free space in so many pieces that the tree has two levels.
func TestXFSDeep(t *testing.T) {
	image := makeXFS(t, 48*mib, "-b", "size=1024", "-d", "agcount=2")
	out := disktest.FindTool(t, "xfs_db", "xfsprogs").Run("-r", "-f", "-c", "agf 0", "-c", "p bnolevel", image)
	if levels := number(t, out, `bnolevel = (\d+)`); levels != 2 {
		t.Fatalf("the tree has %d levels", levels)
	}
	prove(t, image, "xfs", xfsJudge)
}

func TestXFSRefused(t *testing.T) {
	for _, name := range []string{"TEST_DIR", "TEST_DEV", "QA_CHECK_FS"} {
		t.Setenv(name, "1")
	}
	const group = 16 * mib // the second allocation group holds nothing but its headers
	sound := map[string][]byte{}
	for _, version := range []string{"0", "1"} {
		image := blank(t, 2*group)
		disktest.FindTool(t, "mkfs.xfs", "xfsprogs").Run("-q", "-f", "-m", "crc="+version, "-d", "agcount=2", "-l", "agnum=0", image)
		p, err := os.ReadFile(image)
		must(t, err)
		sound[version] = p
	}
	super := func(fields string) change {
		return change{program: func(image string) {
			args := []string{"-x", "-f", "-c", "sb 0"}
			for f := range strings.SplitSeq(fields, ";") {
				args = append(args, "-c", "write -d "+f)
			}
			disktest.FindTool(t, "xfs_db", "xfsprogs").Run(append(args, image)...)
		}}
	}
	// The log of a v4 without CRCs, by the superblock.
	log := func(p []byte) []byte {
		be := binary.BigEndian
		start := be.Uint64(p[48:])
		bs, agBlocks, shift := uint64(be.Uint32(p[4:])), uint64(be.Uint32(p[84:])), p[124]
		return p[(start>>shift*agBlocks+start&(1<<shift-1))*bs:]
	}
	for _, c := range []struct {
		name, version, says string
		change              change
	}{
		{"as made", "0", "", change{}},
		{"as made, v5", "1", "", change{}},
		{"log never used", "0", "", change{bytes: func(p []byte) { clear(log(p)[:2*mib]) }}},
		{"log goes on", "0", "its log must be replayed", change{bytes: func(p []byte) { copy(log(p)[1024:], "\x00\x00\x00\x01") }}},
		{"no unmount", "0", "its log must be replayed", change{bytes: func(p []byte) { log(p)[512+9] = 0 }}},
		{"another's log", "0", "its log must be replayed", change{bytes: func(p []byte) { log(p)[304]++ }}},
		{"superblock", "1", "checksum", change{bytes: func(p []byte) { p[130]++ }}},
		{"group header", "1", "group 1 is not right", change{bytes: func(p []byte) { p[group+512+52]++ }}},
		{"tree", "1", "contradicts", change{bytes: func(p []byte) { p[group+4096+60]++ }}},
		{"count", "0", "contradicts", change{bytes: func(p []byte) { p[group+512+55]++ }}},
		{"longest", "0", "contradicts", change{bytes: func(p []byte) { p[group+512+59]++ }}},
		{"headers free", "0", "contradicts", change{bytes: func(p []byte) { p[group+4096+16+3] = 0 }}},
		{"levels", "0", "not right", change{bytes: func(p []byte) { p[group+512+31] = 200 }}},
		{"root outside", "0", "contradicts", change{bytes: func(p []byte) { p[group+512+16] = 1 }}},
		{"sibling loop", "0", "contradicts", change{bytes: func(p []byte) { copy(p[group+4096+12:], "\x00\x00\x00\x01") }}},
		{"repair", "1", "in need of repair", super("features_incompat 0x1b")},
		{"incompatible", "1", "not known", super("features_incompat 0x100b")},
		{"read-only compatible", "1", "not known", super("features_ro_compat 0x100d")},
		{"cut off", "0", "cut off", change{bytes: func(p []byte) { p[12]++ }}},
		{"in progress", "0", "interrupted", change{bytes: func(p []byte) { p[126] = 1 }}},
		{"groups", "0", "groups of", change{bytes: func(p []byte) { p[91]++ }}},
		{"sectors", "0", "sectors of", change{bytes: func(p []byte) { p[102] = 0x77 }}},
		{"log elsewhere", "0", "on another disk", change{bytes: func(p []byte) { clear(p[48:56]) }}},
		{"log outside", "0", "outside", change{bytes: func(p []byte) { p[97]++ }}},
	} {
		got := judged(t, sound[c.version], c.change)
		if got.FileSystem != "xfs" || !strings.Contains(got.Reason, c.says) || (c.says == "") != (got.Reason == "") || (c.says == "") != (got.Unused > 0) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
