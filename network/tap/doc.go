// Package tap carries a guest's frames over a TAP device of the host: Linux's Documentation/networking/tuntap.rst.
//
// The device hands out and takes the header of virtio-net in front of each frame (IFF_VNET_HDR), so that checksums and
// segmentation are left to the host's stack and its hardware. Frames move between the guest's own buffers and the kernel
// by one readv or writev each.
//
// Creating a device takes CAP_NET_ADMIN; opening one that an administrator has made for the user (ip tuntap add NAME mode
// tap vnet_hdr user USER) does not. What the device is connected to, a bridge or a route, is the administrator's.
package tap
