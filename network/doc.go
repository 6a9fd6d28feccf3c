// Package network is the cable between a guest's network card and what carries its frames.
//
// [Link] is the contract: a card writes the guest's frames to it and reads the guest's frames from it, each one with the
// header that virtio-net puts in front of a frame (virtio 1.2, section 5.1.6), so that checksums and segmentation can be
// left to whichever side does them best. Cards that know no such header (e1000) use a zero one.
//
// The carriers live in their own rooms: usernet is a network in user space with NAT, tap a TAP device of the host.
// What both need, and what no guest may be trusted with, is here: decoding and checking the header ([Header]), and
// completing or verifying the checksums of a frame.
package network
