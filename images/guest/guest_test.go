package guest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/images/guest"
	"github.com/sharevm/vmm/images/rootfs"
	"github.com/sharevm/vmm/images/userland"
	"github.com/sharevm/vmm/internal/debian"
)

// TestSelfCheck boots the guest from a root disk in QEMU, without any KVM, and lets it check both disks and the network.
func TestSelfCheck(t *testing.T) {
	if os.Getenv("VMM_TEST_NESTED") == "" {
		t.Skip("boots a machine in QEMU: set VMM_TEST_NESTED=1")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	store, err := debian.Open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := store.Kernel(ctx, debian.Cloud)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	init, initrd := filepath.Join(dir, "init"), filepath.Join(dir, "initrd")
	if err := guest.BuildInit(ctx, init); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(initrd)
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Initramfs(f, kernel, init, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	bb, err := userland.Build(ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	root, data := filepath.Join(dir, "root"), filepath.Join(dir, "data")
	if err := rootfs.Build(ctx, root, rootfs.Linux(init, bb, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := rootfs.Build(ctx, data, rootfs.Data(32<<20)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello, guest")) }))
	defer server.Close()
	page := strings.Replace(server.URL, "127.0.0.1", "10.0.2.2", 1)
	out, err := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-cpu", "max", "-m", "512",
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio",
		"-drive", "if=virtio,format=raw,file="+root, "-drive", "if=virtio,format=raw,file="+data,
		"-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n",
		"-kernel", kernel.Vmlinux, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 net.ifnames=0 root=/dev/vda -- selfcheck "+page).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, out)
	}
	for _, want := range []string{
		"self-check: disk under /root ok", "self-check: disk under /data ok", "self-check: DHCP lease ok: eth0 has 10.0.2.15/24",
		"self-check: web page ok: 12 bytes", "self-check: passed", "exit status 0",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the guest did not say %q", want)
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", out)
	}
	if fsck, err := exec.CommandContext(ctx, "/usr/sbin/e2fsck", "-fn", root).CombinedOutput(); err != nil {
		t.Errorf("the root disk is not clean after power-off: %v\n%s", err, fsck)
	}
}
