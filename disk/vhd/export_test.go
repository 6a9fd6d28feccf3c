package vhd

import "encoding/binary"

// Mend gives both footers and the header of an image in memory right checksums, so that tests can change other things.
func Mend(img []byte) {
	mend := func(at, size, field int) {
		if at >= 0 && at+size <= len(img) {
			p := img[at : at+size]
			binary.BigEndian.PutUint32(p[field:], checksum(p, field))
		}
	}
	mend(0, footerSize, 64)
	mend(len(img)-footerSize, footerSize, 64)
	if len(img) < footerSize {
		return
	}
	if at := binary.BigEndian.Uint64(img[len(img)-footerSize+16:]); at < uint64(len(img)) {
		mend(int(at), headerSize, 36)
	}
}
