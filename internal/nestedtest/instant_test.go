package nestedtest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// limit is how long a nested host and a guest in it may take on a crowded machine; on a quiet one they need ten seconds.
const limit = 4 * time.Minute

// TestInstant has a nested host make a snapshot for instant starts, sees it from outside, and starts from it in another nested host.
func TestInstant(t *testing.T) {
	kitDir, bin := os.Getenv("VMM_GUEST_TESTS"), os.Getenv("VMM_BIN")
	if os.Getenv("VMM_TEST_NESTED") == "" || kitDir == "" {
		t.Skip("boots machines in QEMU: make test")
	}
	dir := t.TempDir() // whose name is nobody else's: the snapshot lies among the user's own
	t.Chdir(dir)
	file := filepath.Join(dir, "web.vmx")
	text := fmt.Sprintf(`.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "19"
displayName = "web"
guestOS = "debian12-64"
memsize = "256"
vmm.kernel = %q
vmm.initrd = %q
vmm.cmdline = "console=ttyS0 quiet panic=1 vmm.tasks=listen,mark:4,button"
vmm.agent = "TRUE"
vmm.overlay = "disposable"
vmm.instant = "TRUE"
`, filepath.Join(kitDir, kit.Vmlinux), filepath.Join(kitDir, kit.Initrd))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	vmm := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("vmm %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	began := time.Now()
	if said := vmm("instant", "make", "--nested", "--run-option=--allow-outside", file); !strings.Contains(said, "starts instantly from now on") {
		t.Fatalf("it says %q", said)
	}
	t.Logf("made within %v", time.Since(began).Round(time.Millisecond))
	if said := vmm("instant", "list"); !strings.Contains(said, file) {
		t.Errorf("outside of the nested host there is %q", said)
	}

	began = time.Now()
	c := exec.CommandContext(ctx, bin, "run", "--nested", "--allow-outside", file)
	var complaints bytes.Buffer
	c.Stderr = &complaints
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	restored, said := false, ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if !restored && strings.Contains(lines.Text(), "restored: the clock was") {
			restored = true
			t.Logf("another nested host's machine has gone on from it within %v", time.Since(began).Round(time.Millisecond))
		}
		if restored || strings.Contains(lines.Text(), "waiting for the button") {
			_ = c.Process.Signal(syscall.SIGTERM) // presses it; one that has ended needs it no more
		}
	}
	if err := c.Wait(); err != nil || !restored {
		t.Errorf("restored: %t, %v; it said\n%s%s", restored, err, said, complaints.String())
	}
	vmm("instant", "remove", file)
	if said := vmm("instant", "list"); strings.Contains(said, file) {
		t.Errorf("a snapshot is left: %q", said)
	}
}
