// Package nbd serves a disk image by the network block device protocol, so that any program that speaks it (qemu, nbdcopy, the Linux
// kernel) can use an image of any format, chains included.
//
// It follows "The NBD protocol" (doc/proto.md of the NBD project), whose sections the comments name. Of the handshake it has fixed newstyle
// negotiation, EXPORT_NAME, ABORT, LIST, INFO, GO, STRUCTURED_REPLY, LIST_META_CONTEXT and SET_META_CONTEXT, without TLS; of
// transmission, all commands but RESIZE, simple and structured replies, the metadata contexts base:allocation and qemu:allocation-depth, and several
// connections to one export, of which a flush on one covers what was answered on any. The experimental extensions are left out.
//
// # Memory and hostile clients
//
// A request is worked on in pieces of at most 256 KiB. A connection has a fixed number of buffers for pieces and does not read on
// while all are in use, and a server takes a fixed number of connections, which bounds the memory by construction, whatever lengths clients name
// and however slowly they read. The handshake has to end within a time limit. What breaks the protocol ends its connection, and nothing else.
//
// # The way of a request
//
// One goroutine for each connection reads requests. Small reads and writes it serves itself, as long as the image answers quickly,
// and collects their replies until it would have to wait for the client: one system call then fetches or answers many requests. All
// else goes to workers, in pieces, whose replies are sent in the order in which they become ready. No request allocates memory once the
// connection's buffers are there.
package nbd
