// Package inflate decodes DEFLATE (RFC 1951) and zlib (RFC 1950) streams that lie in memory as a whole, straight into the buffer where their content
// is wanted. Blocks of disk images are such streams, and are decoded by the hundred thousand: without a window to copy from and a reader to
// ask for each byte that takes half the time of a decoder for streams of any length.
package inflate
