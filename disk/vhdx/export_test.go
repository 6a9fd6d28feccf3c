package vhdx

import "testing"

// Mend gives the headers and region tables of an image in memory right checksums, so that tests can change other things.
func Mend(img []byte) {
	for _, at := range headerAt {
		if int(at)+headerSize <= len(img) {
			seal(img[at : at+headerSize])
		}
	}
	for _, at := range regionAt {
		if int(at)+regionTableSize <= len(img) {
			seal(img[at : at+regionTableSize])
		}
	}
	MendLog(img)
}

// MendLog does so for whatever looks like a log entry.
func MendLog(img []byte) {
	for at := logStart; at+pageSize <= logStart+logSize && at+pageSize <= len(img); at += pageSize {
		if string(img[at:at+4]) != entrySignature {
			continue
		}
		if length := int(uint32(img[at+8]) | uint32(img[at+9])<<8 | uint32(img[at+10])<<16); length >= pageSize && at+length <= len(img) {
			seal(img[at : at+length])
		}
	}
}

// Cramp has log entries hold one page only, and memory as few as possible, for the rest of the test.
func Cramp(t *testing.T) {
	room, pages, bitmaps := maxRoom, maxPages, maxBitmaps
	maxRoom, maxPages, maxBitmaps = 1, 1, 1
	t.Cleanup(func() { maxRoom, maxPages, maxBitmaps = room, pages, bitmaps })
}

// Seal stores the checksum of a log entry.
func Seal(p []byte) { seal(p) }

// Names are where a disk says that its parent may be.
func Names(i *Image) []string { return i.metadata.locator.names }
