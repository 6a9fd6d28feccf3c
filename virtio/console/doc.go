// Package console is the virtio console (virtio 1.2, section 5.3): one or more ports, each a stream of bytes to the guest and one
// from it. Port 0 usually is the guest's terminal; named ports carry the talk of agents, and appear in the guest by
// their name.
//
// Between a port's queues and the host's Reader and Writer lie bounded rings and pumps. A worker of a queue never waits for the
// host, so that a reset or a pause is never held up by it, and a guest that writes faster than the host takes it waits for
// itself alone: its buffers stay in its ring.
package console
