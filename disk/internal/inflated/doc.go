// Package inflated keeps compressed blocks (grains, clusters) of a disk image in their inflated form, so that reading a little of one does
// not take inflating all of it again each time.
//
// There are two tiers. A few blocks are in memory. Once more were inflated for the sake of a part than have room there, and not
// just one after the other, each that is inflated also goes to a temporary file without a name: the host's page cache holds it as long as there is
// memory to spare, and its disk afterwards, which still takes a fraction of the time of inflating. So a program that
// goes through an image once, as most tools do, makes no such file, while a machine's random reads soon cost a pread each.
//
// What is asked for as a whole is inflated straight into the caller's buffer and not kept: nothing was inflated in vain.
package inflated
