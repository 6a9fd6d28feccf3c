// Package queue is the device's side of a split virtqueue (virtio 1.2, sections 2.6 and 2.7), and the one place that walks
// descriptor chains. A guest's rings are hostile: whatever they hold, a chain that Pop hands out lies wholly in guest RAM, is finite, and
// has its device-readable part before its device-writable part. Anything else is an error, after which the queue is
// broken and the device needs a reset.
//
// Chains are not copied: a [Chain] holds slices of guest RAM, in storage that the next Pop into it reuses. Since the guest may
// change that RAM at any moment, a device copies a header once ([Chain.CopyIn]) and judges the copy.
//
// # Ordering
//
// Index fields are read with acquire and written with release semantics followed by a full barrier (package shared), so that:
//   - ring entries and descriptors are read after the available index that covers them;
//   - used elements, and the buffers that they speak of, are written before the used index that publishes them;
//   - [Queue.Publish] looks at used_event (or the driver's flags) after its used index is visible: either the driver sees the
//     new index when it re-arms, or the device sees the re-armed event and interrupts;
//   - [Queue.EnableNotifications] looks at the available index after avail_event (or the device's flags) is visible: either the
//     driver sees the event and kicks, or the device sees the new index and does not sleep.
//
// # Goroutines
//
// The available side (Pop, Unpop, EnableNotifications, DisableNotifications) and the used side (Push, Publish) share no state: each
// may be used by one goroutine at a time, and the two may be different ones.
package queue
