// Package input is virtio's input device (virtio 1.2, section 5.8), as a keyboard, a mouse or a tablet.
//
// Events wait in a bounded queue for the guest's buffers. A guest that falls behind gets motion joined first; then it misses presses, but never
// the release of a press that it got. A restored guest sees the keys go up that were down when it was saved: nobody holds them any more.
package input
