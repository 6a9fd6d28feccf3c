// Package blk is the virtio block device (virtio 1.2, section 5.2): it serves a guest's requests from a [disk.Image].
//
// Each queue has a lane: a worker that the queue's doorbell wakes, which takes requests off the queue, checks them, and
// joins those that continue each other on the disk. A few executors, shared by all lanes, carry them out, so that a flush or
// a slow read holds up nobody else while there are executors left. The exception: reads and writes to an image that has been answering
// quickly are carried out by the lane itself, which saves waking executors and tells the driver of several with one interrupt; should one be
// slow after all, its own queue waits for it. A few such end the trust, and one very slow one does.
//
// Data moves between guest memory and the image without a copy where the image is a [disk.VectorImage]. Nothing is
// allocated per request.
package blk
