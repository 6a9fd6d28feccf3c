// Package balloon is virtio's memory balloon (virtio 1.2, section 5.5), by which RAM that a guest does not need goes back to its host.
//
// It does so in two ways. The host may ask for an amount of memory (SetTarget): the guest's driver then takes pages out of use
// and names them. And a driver with free page reporting names, unasked, what its system has freed; the pages stay the guest's, and
// are there again when it touches them.
//
// What a driver names is discarded at once, and nothing else is remembered of it: a page comes back by being touched. A driver can harm
// only its own guest this way. Free page hinting, which serves live migration alone, is not offered.
package balloon
