package nested

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/guest"
	"github.com/sharevm/vmm/images/nested/agent"
	"github.com/sharevm/vmm/internal/debian"
	"golang.org/x/sys/unix"
)

// insideEnv makes this test's program the command that TestNestedHost runs in the guest.
const insideEnv = "VMM_TEST_INSIDE"

func TestMain(m *testing.M) {
	agent.RunIfInit()
	if os.Getenv(insideEnv) != "" {
		os.Exit(inside())
	}
	os.Exit(m.Run())
}

// insideStatus is the exit status of a command that found everything as it should be.
const insideStatus = 7

// inside is the command. It takes all of its input for output, waits for a signal, boots a Debian kernel under the guest's own KVM, and leaves
// a file in the current folder.
func inside() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	fmt.Fprintln(os.Stderr, "listening")
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "copying:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "got", <-signals)
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer kvm.Close()
	const getAPIVersion = 0xae00
	version, err := unix.IoctlRetInt(int(kvm.Fd()), getAPIVersion)
	fmt.Fprintln(os.Stderr, "KVM API version", version, err)
	l2 := exec.Command("qemu-system-x86_64", "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults", "-no-user-config",
		"-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", os.Args[1], "-initrd", os.Args[2], "-append", "console=ttyS0 quiet panic=-1")
	out, err := l2.CombinedOutput()
	fmt.Fprintf(os.Stderr, "nested guest: %v\n%s\n", err, out)
	if err := os.WriteFile("made-inside", []byte("by the guest"), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return insideStatus
}

// TestNestedHost boots the nested host once and looks at everything that crosses its border, and that KVM in it runs a Debian kernel.
func TestNestedHost(t *testing.T) {
	if os.Getenv("VMM_TEST_NESTED") == "" {
		t.Skip("boots a machine in QEMU: set VMM_TEST_NESTED=1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	kernel, initrd := l2(ctx, t, dir)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stdin, input := pipe(t)
	output, stdout := pipe(t)
	complaints, stderr := pipe(t)
	sent := bytes.Repeat([]byte("all\x00of\xff\x04it\r\n\x1b"), 100_000)
	var got []byte
	read := make(chan struct{})
	go func() {
		defer close(read)
		got, _ = io.ReadAll(output)
	}()
	told, tell := context.WithCancel(ctx)
	defer tell()
	said := make(chan string, 1)
	var prepared atomic.Bool
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := complaints.Read(buf)
			all.Write(buf[:n])
			if strings.Contains(all.String(), "listening") && input != nil {
				if !prepared.Load() {
					t.Error("the command runs, and nobody was told that all is prepared")
				}
				// The command catches the signal from now on, and the program that runs it forwards it.
				input.Write(sent)
				input.Close()
				input = nil
				unix.Kill(unix.Getpid(), unix.SIGUSR1)
				tell() // as the signal would, were it one that ends programs
			}
			if err != nil {
				said <- all.String()
				return
			}
		}
	}()
	status, err := Run(told, Config{
		Patience: 4 * time.Minute,
		Args:     []string{self, kernel, initrd}, Dir: dir, Env: append(os.Environ(), insideEnv+"=1"),
		Stdin: stdin, Stdout: stdout, Stderr: stderr, Prepared: func() { prepared.Store(true) },
	})
	stdout.Close()
	stderr.Close()
	<-read
	text := <-said
	if err != nil || status != insideStatus {
		t.Errorf("status %d, %v", status, err)
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d, or others", len(got), len(sent))
	}
	for _, want := range []string{"got user defined signal 1", "KVM API version 12 <nil>", "nested guest: <nil>", "vmm-guest: init after"} {
		if !strings.Contains(text, want) {
			t.Errorf("the command did not say %q", want)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "made-inside")); string(b) != "by the guest" {
		t.Errorf("the file that the command left holds %q, %v", b, err)
	}
	if t.Failed() {
		t.Logf("it said:\n%s", text)
	}
}

// l2 makes the kernel and the initramfs of the guest's guest.
func l2(ctx context.Context, t *testing.T, dir string) (kernel, initrd string) {
	t.Helper()
	store, err := debian.Open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	k, err := store.Kernel(ctx, debian.Cloud)
	if err != nil {
		t.Fatal(err)
	}
	init, initrd := filepath.Join(dir, "init"), filepath.Join(dir, "initrd")
	if err := guest.BuildInit(ctx, init); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(initrd)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := guest.Initramfs(f, k, init, nil); err != nil {
		t.Fatal(err)
	}
	return k.Vmlinux, initrd
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}
