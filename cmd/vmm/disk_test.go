package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/spf13/cobra"
)

// vmmDisk runs vmm disk with args in this process and returns what it printed, and its exit code with the line that main would print.
func vmmDisk(ctx context.Context, args ...string) (stdout, stderr string, code int) {
	root := newRoot()
	var out, errs bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(append([]string{"disk"}, args...))
	err := root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return out.String(), errs.String(), 0
	case errors.As(err, &exit):
		code = exit.code
		if exit.err == nil {
			return out.String(), errs.String(), code
		}
	default:
		code = exitFailed
	}
	return out.String(), errs.String() + "vmm: " + err.Error() + "\n", code
}

// TestDisk runs commands one after the other in one folder.
func TestDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	content := bytes.Repeat([]byte("the quick brown fox "), 200_000)
	content = content[:len(content)/512*512]
	write(t, "in.raw", content)
	write(t, "other.raw", append(bytes.Clone(content[:70_000]), append([]byte{0}, content[70_001:]...)...))
	write(t, "padded.raw", append(bytes.Clone(content), make([]byte, 1024)...))
	write(t, "evil.vmdk", []byte("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"\x1b[2J\"\nRW 8 FLAT \"\x1b]0;x\x07\" 0\n"))
	write(t, "outside.vmdk", []byte("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/passwd\" 0\n"))
	write(t, "stump.vhdx", []byte("vhdxfile"))
	for _, c := range []struct {
		args   string
		code   int
		stdout string // what it begins with, or holds after *
		stderr string // what it holds; nothing else than one line may be printed
	}{
		{"create a.vhdx 80G", 0, "a.vhdx: vhdx dynamic, 80 GiB\n", ""},
		{"create a.vhdx 80G", 1, "", "a.vhdx: file exists\n"},
		{"create b.vmdk 1.5G --variant monolithicFlat", 0, "b.vmdk: vmdk monolithicFlat, 1.5 GiB\n", ""},
		{"create child.vhdx --parent a.vhdx", 0, "child.vhdx: vhdx differencing, 80 GiB\n", ""},
		{"create c.vmdk", 2, "", "SIZE is missing; see vmm disk create --help"},
		{"create c.vmdk lots", 2, "", "not a size"},
		{"create c.zip 1G", 1, "", "(one of raw, vmdk, vhd, vhdx, vdi, qcow2); say it by --format or --parent-format"},
		{"create c.vmdk 1G --sector-size 4096", 2, "", "--sector-size is for VHDX"},
		{"create c.raw 1G --variant fixed", 2, "", "raw images have no variants"},
		{"create c.raw 1G --block-size 1M", 2, "", "raw images have no blocks"},
		{"create c.vmdk 1G --variant fluffy", 1, "", "fluffy"},
		{"create c.vhd 1G --format zip", 1, "", "no format is called"},
		{"create c.vhd 1G --block-size many", 2, "", "--block-size"},
		{"create", 2, "", "see vmm disk create --help"},
		{"info child.vhdx", 0, "*based on:        a.vhdx (vhdx dynamic", ""},
		{"info --json child.vhdx", 0, `{"path":"child.vhdx","format":"vhdx","variant":"differencing","size":85899345920,`, ""},
		{"info none.vmdk", 1, "", "none.vmdk: no such file"},
		{"info in.raw", 0, "*size:            3.8 MiB (3999744 bytes)", ""},
		{"info in.raw --wrong", 2, "", "unknown flag"},
		{"info evil.vmdk", 1, "", `\x1b`},
		{"info outside.vmdk", 1, "", "--allow-outside"},
		{"info .", 1, "", "say it by --format\n"},
		{"convert in.raw out.vmdk", 0, "out.vmdk: 3.8 MiB, of which 3.8 MiB are stored\n", ""},
		{"convert in.raw out.vmdk", 1, "", "out.vmdk: file already exists; --force replaces it"},
		{"convert in.raw out.vmdk --force --verify --variant streamOptimized", 0, "out.vmdk: 3.8 MiB, of which 3.8 MiB are stored, verified\n", ""},
		{"convert out.vmdk out.vhd --json", 0, `{"path":"out.vhd","size":3999744,"written":`, ""},
		{"convert out.vmdk out.qcow2 --from raw --to raw", 0, "out.qcow2: ", ""},
		{"convert out.vmdk out.vmdk --force", 1, "", "part of what is being copied"},
		{"convert in.raw x.vhdx --dry-run", 0, "x.vhdx: 3.8 MiB, of which at most 3.8 MiB would be stored; nothing was changed\n", ""},
		{"convert in.raw out.vmdk --dry-run", 1, "", "out.vmdk: file already exists"},
		{"convert stump.vhdx x.raw", 1, "", "damaged disk image"},
		{"convert none.vhdx x.raw", 1, "", "no such file"},
		{"convert in.raw no/x.raw", 1, "", "no such file"},
		{"convert in.raw", 2, "", "vmm: convert takes IN OUT, and not 1 argument; see vmm disk convert --help"},
		{"check out.vhd", 0, "out.vhd: nothing wrong; 2 of 2 blocks of 2 MiB are stored\n", ""},
		{"check out.vhd --json", 0, `{"path":"out.vhd","format":"vhd","clean":true,`, ""},
		{"check stump.vhdx", 1, "stump.vhdx: damage: ", ""},
		{"check stump.vhdx --json", 1, `{"path":"stump.vhdx","format":"vhdx","clean":false,`, ""},
		{"check none.vhdx", 1, "", "no such file"},
		{"check in.raw", 0, "in.raw: nothing wrong\n", ""},
		{"compare in.raw out.vhd", 0, "the disks hold the same\n", ""},
		{"compare out.vmdk out.vhd", 0, "the disks hold the same\n", ""},
		{"compare out.vmdk other.raw", 1, "the disks differ, first at byte 70000 (sector 136)\n", ""},
		{"compare out.vmdk other.raw --json", 1, `{"same":false,"offset":70000,"size_a":3999744,`, ""},
		{"compare in.raw padded.raw", 1, "the disks differ in size (3999744 and 4000768 bytes)", ""},
		{"compare in.raw padded.raw --pad", 0, "the disks hold the same\n", ""},
		{"compare in.raw out.vhd --json", 0, `{"same":true,"size_a":3999744,`, ""},
		{"compare in.raw none.vhd", 1, "", "no such file"},
		{"map a.vhdx", 0, "          OFFSET           LENGTH  KIND DEPTH       IN FILE AT\n               0      85899345920  hole     0                -\n", ""},
		{"map --json in.raw", 0, `[{"start":0,"length":3999744,"depth":0,"present":true,"zero":false,"data":true,"kind":"data","offset":0}]` + "\n", ""},
		{"map none.vhdx", 1, "", "no such file"},
		{"frobnicate", 2, "", "see vmm disk --help"},
	} {
		stdout, stderr, code := vmmDisk(t.Context(), strings.Fields(c.args)...)
		okOut := strings.HasPrefix(stdout, c.stdout) && (c.stdout != "" || stdout == "")
		if rest, anywhere := strings.CutPrefix(c.stdout, "*"); anywhere {
			okOut = strings.Contains(stdout, rest)
		}
		lines := 0
		if c.stderr != "" {
			lines = 1
		}
		if code != c.code || !okOut || !strings.Contains(stderr, c.stderr) || strings.Count(stderr, "\n") != lines || strings.Contains(stdout+stderr, "\x1b") {
			t.Errorf("vmm disk %s: exit code %d, want %d\n%s%s", c.args, code, c.code, stdout, stderr)
		}
	}
	list, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "x.") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

func write(t *testing.T, path string, p []byte) {
	t.Helper()
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDiskJSON checks that what --json prints is JSON to the end.
func TestDiskJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.raw", bytes.Repeat(append([]byte{1}, make([]byte, 8191)...), 300))
	write(t, "empty.raw", nil)
	for _, args := range []string{"info --json a.raw", "map --json a.raw", "map --json empty.raw", "check --json a.raw", "compare --json a.raw empty.raw", "convert --json a.raw b.vdi"} {
		stdout, stderr, _ := vmmDisk(t.Context(), strings.Fields(args)...)
		if !json.Valid([]byte(stdout)) || stderr != "" {
			t.Errorf("vmm disk %s printed %q and %q", args, stdout, stderr)
		}
	}
}

// TestDiskLocked has the image in use by another.
func TestDiskLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.vmdk")
	if err := formats.Create(path, disk.CreateOptions{Size: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	i, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, stderr, code := vmmDisk(t.Context(), "info", path); code != 1 || !strings.Contains(stderr, "disk image is in use") || !strings.Contains(stderr, "; --shared looks") {
		t.Errorf("%d: %s", code, stderr)
	}
	if stdout, stderr, code := vmmDisk(t.Context(), "info", "--shared", path); code != 0 || !strings.Contains(stdout, "1 MiB") {
		t.Errorf("--shared: %d: %s", code, stderr)
	}
}

// TestDiskHelp checks that every command has examples and completes image files.
func TestDiskHelp(t *testing.T) {
	for _, c := range newDisk().Commands() {
		if c.Example == "" || c.Long == "" || c.ValidArgsFunction == nil {
			t.Errorf("vmm disk %s lacks examples, an explanation or completion", c.Name())
			continue
		}
		list, directive := c.ValidArgsFunction(c, nil, "")
		if directive != cobra.ShellCompDirectiveFilterFileExt || !slices.Contains(list, "vmdk") {
			t.Errorf("vmm disk %s completes %v (%d)", c.Name(), list, directive)
		}
		if _, directive := c.ValidArgsFunction(c, []string{"a", "b"}, ""); directive != cobra.ShellCompDirectiveNoFileComp {
			t.Errorf("vmm disk %s completes a third argument", c.Name())
		}
	}
	for args, want := range map[string]string{
		"info --format ": "qcow2", "create x.vhd 1G --variant ": "fixed", "convert a.vhd b.vmdk --variant ": "streamOptimized", "convert a b --to vdi --variant ": "dynamic",
	} {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&bytes.Buffer{})
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd, "disk"}, strings.Split(args, " ")...))
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), want+"\n") {
			t.Errorf("completion of %q: %q, %v", args, out.String(), err)
		}
	}
}

// selfEnv makes the test's own program be vmm.
const selfEnv = "VMM_TEST_RUN_SELF"

func TestMain(m *testing.M) {
	if os.Getenv(selfEnv) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// TestDiskInterrupted sends signals to a conversion that is under way. SIGKILL leaves a hidden folder, which the next one removes.
func TestDiskInterrupted(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.raw"), filepath.Join(dir, "out.vmdk")
	content := make([]byte, 64<<20)
	for k := range content {
		content[k] = byte(k * k >> 5)
	}
	write(t, in, content)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL, 0} {
		cmd := exec.Command(os.Args[0], "disk", "convert", in, out, "--variant", "streamOptimized")
		cmd.Env = append(os.Environ(), selfEnv+"=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if signal != 0 {
			if err := workingFolder(dir, ended); err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
		}
		err := <-ended
		_, statErr := os.Stat(out)
		left := hidden(t, dir)
		switch signal {
		case 0:
			if err != nil || statErr != nil || left != 0 {
				t.Errorf("at last: %v, %v, %d folders left\n%s", err, statErr, left, stderr.String())
			}
		case syscall.SIGKILL:
			if err == nil || statErr == nil {
				t.Errorf("%v: %v, and the image: %v", signal, err, statErr)
			}
		default:
			if err == nil || statErr == nil || left != 0 || stderr.String() != "vmm: interrupted; nothing was changed\n" {
				t.Errorf("%v: %v, and the image: %v, %d folders left\n%s", signal, err, statErr, left, stderr.String())
			}
		}
	}
}

// workingFolder waits until a conversion has begun to write in dir.
func workingFolder(dir string, ended <-chan error) error {
	for {
		if begun, _ := filepath.Glob(filepath.Join(dir, ".out.vmdk.part-*", "out.vmdk")); len(begun) > 0 {
			return nil
		}
		select {
		case err := <-ended:
			return errors.Join(errors.New("it ended before it could be interrupted"), err)
		default:
		}
	}
}

func hidden(t *testing.T, dir string) int {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestDiskManual checks that the manual page has the commands below vmm disk, each with its options.
func TestDiskManual(t *testing.T) {
	root := newRoot()
	var page bytes.Buffer
	root.SetOut(&page)
	root.SetArgs([]string{"man"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".SS disk\n", ".SS disk convert IN OUT", `\-\-verify`, ".SS disk map FILE"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the manual page lacks %q", want)
		}
	}
}
