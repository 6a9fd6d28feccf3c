package browser

import (
	"fmt"
	"os"
)

// The files of the machine's folder.
const (
	vmxName      = "chromeos.vmx"
	rootName     = "root.vmdk"
	rootFlatName = "root-flat.vmdk"
	kernelName   = "vmlinux"
	initrdName   = "initrd"
	manifestName = "manifest.json"
	kernelNotice = "vmlinux.copyright"
)

// vmxText is the machine. What VMware knows stands first; the keys that begin with vmm. are for vmm alone.
const vmxText = `.encoding = "UTF-8"
# The browser machine of vmm: Chromium on the whole screen. What it writes is forgotten when it is switched off.
config.version = "8"
virtualHW.version = "19"
displayName = "chromeos"
guestOS = "debian12-64"

memsize = "1536"
numvcpus = "2"

# /: EROFS, read-only
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "` + rootName + `"
scsi0:0.readonly = "TRUE"

# a network in user space, behind NAT
ethernet0.present = "TRUE"
ethernet0.connectionType = "nat"
ethernet0.virtualDev = "e1000"
ethernet0.addressType = "generated"

svga.maxWidth = "1280"
svga.maxHeight = "800"

# The page to start with; without this line, one that asks for an address.
# vmm.kiosk.url = "https://example.org/"
# Hosts that may be reached, all others may not: "example.org *.debian.org"; without this line, all.
# vmm.kiosk.allow = ""
# A layout of xkeyboard-config, with its variant in brackets: "de(nodeadkeys)"
vmm.kiosk.keyboard = "us"
vmm.kiosk.language = "en-US"
# vmm.kiosk.proxy = "http://proxy.example.org:3128"
# A file with certificates (PEM) of authorities that the browser trusts beside the usual ones: a company's own, or its proxy's.
# vmm.kiosk.ca = "ca.pem"

# a kernel of its own makes all devices virtio.
vmm.kernel = "` + kernelName + `"
vmm.initrd = "` + initrdName + `"
vmm.cmdline = "console=ttyS0 console=hvc0 quiet panic=1 net.ifnames=0"
vmm.display = "virtio"
vmm.input = "virtio"
# The guest is told when it was restored from a snapshot.
vmm.agent = "TRUE"
# It forgets everything, and starts from a snapshot of itself that was never used (vmm instant).
vmm.overlay = "disposable"
vmm.instant = "TRUE"
`

// sectorSize is a sector of a VMDK in bytes.
const sectorSize = 512

// writeDescriptor writes the descriptor of the root disk. Unlike that of other disks its identifiers are fixed, so that equal disks are equal files.
func writeDescriptor(path string, size int64) error {
	const heads, sectors, maxCylinders = 255, 63, 65535
	n := size / sectorSize
	return os.WriteFile(path, fmt.Appendf(nil, `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=b0057ed0
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW %d FLAT "%s" 0

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.virtualHWVersion = "14"
`, n, rootFlatName, min(max(n/(heads*sectors), 1), maxCylinders), heads, sectors), 0o644)
}
