package browser

import (
	_ "embed"

	"github.com/sharevm/vmm/images/erofs"
)

// sessionPath is where the root disk has the init, which is also the program that keeps the browser running.
const sessionPath = "usr/lib/vmm/session"

// startPath is the page that is shown where the .vmx names none. It needs no network.
const startPath = "usr/share/vmm/start.html"

//go:embed start.html
var startPage []byte

// modules are what the guest's devices, its root disk and the layer on top of it need of Debian's generic kernel.
var modules = []string{
	"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon", "virtio_gpu", "virtio_input",
	"evdev", "button",
	"crc32c_generic", // libcrc32c, which EROFS uses, asks for it by algorithm, not by name
	"erofs", "overlay",
}

// skeleton is what no package brings: folders to mount on, and who there is.
var skeleton = []erofs.File{
	{Name: startPath, Data: startPage},
	{Name: "bin", Link: "usr/bin"},
	{Name: "lib", Link: "usr/lib"},
	{Name: "lib64", Link: "usr/lib64"},
	{Name: "sbin", Link: "usr/sbin"},
	{Name: "usr/sbin", Dir: true},
	{Name: "dev", Dir: true},
	{Name: "proc", Dir: true},
	{Name: "sys", Dir: true},
	{Name: "run", Dir: true},
	{Name: "tmp", Dir: true},
	{Name: "var/tmp", Dir: true},
	{Name: "root", Dir: true, Mode: 0o700},
	{Name: "home", Dir: true},
	{Name: "etc/passwd", Data: []byte("root:x:0:0:root:/root:/usr/sbin/nologin\nuser:x:1000:1000:user:/home/user:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n")},
	{Name: "etc/group", Data: []byte("root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n")},
	{Name: "etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
	{Name: "etc/hosts", Data: []byte("127.0.0.1 localhost\n")},
	{Name: "etc/resolv.conf", Link: "/run/resolv.conf"},
	{Name: "etc/machine-id", Link: "/run/machine-id"},
}
