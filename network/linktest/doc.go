// Package linktest holds what every carrier of a [network.Link] has to stand: a guest of its own ([Guest], a second TCP/IP
// stack at the card's end of the link) and a conformance suite ([Run]) that makes it talk to servers of the host.
package linktest
