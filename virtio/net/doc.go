// Package net is the virtio network card (virtio 1.2, section 5.1) on one or more [network.Link], one for each pair of queues.
//
// A pair has two workers. The receiver hands the guest's empty buffers to Link.ReadFrame, so that a frame lands where the guest
// wants it; with mergeable buffers it holds as many as the largest frame may need, and those a frame did not
// use stay for the next one. When the guest has posted too few it waits for the doorbell, and the frames wait in the
// link. The transmitter hands the guest's frames to Link.WriteFrame where they lie. Nothing is copied or allocated per frame.
//
// A link that fails takes the card's carrier down; it does not break the device. The card filters nothing: a guest sees
// whatever the link delivers, as in promiscuous mode.
package net
