package guesttest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/images/testguest/kit"
)

// netBoot gives the machine a card that boots, and its network what there is to boot: a script for iPXE by TFTP, which has it fetch a kernel from a web server of
// the host's. It returns an option for `vmm run`, and what the server was asked for, each behind who asked.
func (f *machineFile) netBoot(t *testing.T, card, bootFile string, files ...string) (option string, asked chan string) {
	t.Helper()
	asked = make(chan string, 64)
	kernels := http.FileServer(http.Dir(kitDir))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.UserAgent() + " " + r.URL.Path
		kernels.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(f.dir, "tftp")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range files {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(from)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := "http://10.0.2.2:" + u.Port() + "/"
	script := strings.Join([]string{
		"#!ipxe",
		"echo ipxe: ${net0/ip} on ${platform}",
		fmt.Sprintf("kernel %s%s initrd=%s console=ttyS0 quiet panic=1 vmm.tasks=info vmm.by=ipxe", at, kit.Vmlinuz, kit.Initrd),
		"initrd " + at + kit.Initrd,
		"boot",
	}, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(folder, "boot.ipxe"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	f.addNIC()
	f.set("vmm.ethernet0.virtualDev", card)
	f.set("vmm.ethernet0.tftp", "tftp")
	f.set("vmm.ethernet0.bootFile", bootFile)
	f.set("vmm.ethernet0.bootScript", "boot.ipxe")
	return "--host-access=" + u.Port(), asked
}

// TestBootsNetwork has machines boot from the user network: the iPXE in a card's option ROM, or EFI firmware that first loads iPXE by TFTP, gets an address by DHCP
// and is told what to load; iPXE reads its script by TFTP, and a kernel and its initramfs from a web server of the host's. The kernel carries out its tasks.
// OVMF has a driver for virtio's card alone; with another one, iPXE comes from a disk.
func TestBootsNetwork(t *testing.T) {
	for _, c := range []struct{ firmware, card string }{
		{"bios", "e1000"}, {"bios", "e1000e"}, {"bios", "vmxnet3"}, {"bios", "virtio"}, {"efi", "virtio"}, {"efi", "e1000e"},
	} {
		t.Run(c.firmware+"/"+c.card, func(t *testing.T) {
			needMatrix(t)
			f := newFirmwareFile(t, c.firmware)
			var option string
			var asked chan string
			const program = "/boot/ipxe.efi"
			switch {
			case c.firmware == "bios":
				onDisc(t, "/usr/lib/ipxe/qemu/pxe-e1000.rom", "ipxe-qemu")
				option, asked = f.netBoot(t, c.card, "")
			case c.card == "virtio":
				onDisc(t, program, "ipxe")
				option, asked = f.netBoot(t, c.card, "ipxe.efi", program)
			default:
				onDisc(t, program, "ipxe")
				f.bootloaderDisk(t, map[string]string{"/EFI/BOOT/BOOTX64.EFI": program}, nil)
				f.addDiskOn("nvme", "disk.img")
				option, asked = f.netBoot(t, c.card, "")
			}
			f.bootsByIPXE(t, c.firmware, option, asked)
		})
	}
}

// bootsByIPXE runs a machine whose iPXE finds what netBoot gave it.
func (f *machineFile) bootsByIPXE(t *testing.T, firmware, option string, asked chan string) {
	t.Helper()
	g := f.start(t, option)
	g.expect(`ipxe: 10\.0\.2\.15 on ` + map[string]string{"bios": "pcbios", "efi": "efi"}[firmware])
	g.finish()
	for _, want := range []string{kit.Vmlinuz, kit.Initrd} {
		if got := <-asked; !strings.HasPrefix(got, "iPXE/") || !strings.HasSuffix(got, " /"+want) {
			t.Errorf("the web server was asked by and for %q, want iPXE and /%s", got, want)
		}
	}
}
