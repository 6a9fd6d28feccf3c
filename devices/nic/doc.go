// Package nic is what the network cards of PCs have in common, whatever their registers look like: the two workers between a card's rings
// and a [network.Link], what a driver leaves to its card (checksums, segmentation, VLAN tags) brought into the form that the link takes or
// done here where it takes none, what a card says of a frame that it received, the hash that spreads frames over queues (RSS), and
// spacing of interrupts.
//
// A card model implements [Card] and owns a [Port]. The port's workers call the card, and the card never blocks: what can wait is the
// port's business, so that a vCPU's access to a register never waits for a link.
package nic
