// Package nictest is what the tests of network cards share: a link whose far end is the test's, frames with right checksums, and a bus
// that a card is plugged into, seen from a driver.
package nictest
