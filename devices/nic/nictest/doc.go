// Package nictest is what the tests of network cards share besides a link: frames with right checksums, and a bus
// that a card is plugged into, seen from a driver.
package nictest
