package partition_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/guest/partition"
)

// TestForeign reads what sfdisk wrote, and has sgdisk judge a disk whose backup was moved.
func TestForeign(t *testing.T) {
	sfdisk, sgdisk := disktest.FindTool(t, "sfdisk", "fdisk"), disktest.FindTool(t, "sgdisk", "gdisk")
	for _, c := range []struct{ label, script, want string }{
		{"gpt", "start=2048, size=4096, name=one\nstart=8192, size=8192, type=uefi\n", "1:2048+4096 2:8192+8192"},
		{"dos", "start=2048, size=4096, type=7\nstart=8192, size=20000, type=5\nstart=10240, size=2048\nstart=14336, size=2048\n",
			"1:2048+4096 2:8192+20000x 5:10240+2048 6:14336+2048"},
	} {
		path := filepath.Join(t.TempDir(), "disk.img")
		script := filepath.Join(filepath.Dir(path), "script")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Truncate(path, 16*mib))
		must(t, os.WriteFile(script, []byte("label: "+c.label+"\n"+c.script), 0o600))
		disktest.FindTool(t, "sh", "dash").Run("-c", fmt.Sprintf("%s --quiet %s < %s", "sfdisk", path, script))
		disk, err := os.ReadFile(path)
		must(t, err)
		j := &journal{data: disk}
		tab, err := partition.Read(t.Context(), j, 16*mib, 512)
		if err != nil || tab.Scheme != map[string]string{"gpt": "gpt", "dos": "mbr"}[c.label] || list(tab) != c.want || len(tab.Notes) > 0 {
			t.Fatalf("%s: %+v, %v", c.label, tab, err)
		}
		if c.label == "dos" {
			continue
		}
		if tab.Entries[0].Name != "one" || tab.Entries[1].Kind != "EFI system" {
			t.Errorf("%+v", tab.Entries)
		}
		for _, size := range []int{16*mib + 512, 40 * mib, 9 * mib} {
			j := &journal{data: resized(disk, max(size, len(disk)))}
			must(t, partition.MoveBackupGPT(t.Context(), j, 16*mib, int64(size), 512))
			must(t, os.WriteFile(path, j.data[:size], 0o600))
			if out := sgdisk.Run("--verify", path); !strings.Contains(out, "No problems found") {
				t.Errorf("%d bytes: %s", size, out)
			}
			if out := sfdisk.Run("--verify", path); !strings.Contains(out, "No errors detected") {
				t.Errorf("%d bytes: %s", size, out)
			}
		}
	}
}
