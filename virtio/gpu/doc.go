// Package gpu is virtio's graphics card without 3D (virtio 1.2, section 5.7): resources in the host's memory that the guest fills by transfers from its own,
// several scanouts that show parts of them, a cursor for each, and monitors (EDID) whose size a viewer may change.
//
// Resources are display.Memory, so that a scanout shows one without a copy; a transfer copies the rectangle that the guest names and nothing more. What a guest may have of
// them is bounded in number, bytes, and pieces of backing memory.
//
// VIRTIO_GPU_F_EDID is the only feature. Left out are 3D (virgl), blobs, and resource UUIDs. A fence is complete when the answer is there.
package gpu
