package main

// vmxText is the machine. What VMware knows stands first; the keys that begin with vmm. are for vmm alone.
const vmxText = `.encoding = "UTF-8"
# The demo machine of vmm. VMware opens this file too; its root disk has no boot loader, though, as vmm starts the kernel itself.
config.version = "8"
virtualHW.version = "19"
displayName = "chromeos"
guestOS = "debian12-64"

memsize = "256"
numvcpus = "1"

# /: Debian's BusyBox on ext4
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "` + rootName + `"

# /data: a dynamic VHD, which VMware does not know
vmm.scsi0:1.present = "TRUE"
vmm.scsi0:1.fileName = "` + dataName + `"

# a network in user space: 10.0.2.15 behind NAT. Remove the # to reach the guest's port 80 at http://localhost:8080
ethernet0.present = "TRUE"
ethernet0.connectionType = "nat"
ethernet0.virtualDev = "e1000"
ethernet0.addressType = "generated"
# vmm.publish = "8080:80"

# a kernel of its own makes all devices virtio.
vmm.kernel = "` + kernelName + `"
vmm.initrd = "` + initrdName + `"
vmm.cmdline = "console=ttyS0 console=hvc0 quiet panic=1 net.ifnames=0 root=/dev/vda"
`
