package nvme

import (
	"encoding/binary"

	"github.com/sharevm/vmm/vmm/memory"
)

// maxPieces is how many pages one command's data lies in at most.
const maxPieces = maxTransfer/pageSize + 1

// pages collects the guest memory that a command's PRP entries describe. Pages that lie side by side become one piece.
type pages struct {
	mem        *memory.Guest
	pieces     [][]byte
	start, end uint64 // guest-physical addresses of the last piece
}

// collect replaces p.pieces by the n bytes at PRP entries 1 and 2 (section 4.3). Each entry is read once. n is at most maxTransfer, which
// bounds the walk.
func (p *pages) collect(prp1, prp2 uint64, n int) status {
	p.pieces = p.pieces[:0]
	if prp1%4 != 0 {
		return invalidPRPOffset
	}
	n, s := p.add(prp1, n)
	if s != success || n == 0 {
		return s
	}
	if n <= pageSize {
		if prp2%pageSize != 0 {
			return invalidPRPOffset
		}
		_, s = p.add(prp2, n)
		return s
	}
	if prp2%8 != 0 {
		return invalidPRPOffset
	}
	return p.walk(prp2, n)
}

// walk collects n bytes by the PRP list at list. Only its first page may be used in part, so that each further page brings more data than there
// can be.
func (p *pages) walk(list uint64, n int) status {
	for n > 0 {
		room, need := int(pageSize-list%pageSize)/8, (n+pageSize-1)/pageSize
		raw, err := p.mem.Slice(list, uint64(8*min(room, need)))
		if err != nil {
			return dataTransferError
		}
		for ; len(raw) > 0; raw = raw[8:] {
			entry := binary.LittleEndian.Uint64(raw)
			if entry%pageSize != 0 {
				return invalidPRPOffset
			}
			if need > room && len(raw) == 8 { // the last entry of a page points to the next list
				list = entry
				break
			}
			var s status
			if n, s = p.add(entry, n); s != success {
				return s
			}
		}
	}
	return success
}

// add collects what of the next n bytes lies in the page at addr, and returns how many are left.
func (p *pages) add(addr uint64, n int) (int, status) {
	size := min(pageSize-addr%pageSize, uint64(n))
	if len(p.pieces) > 0 && addr == p.end {
		if joined, err := p.mem.Slice(p.start, p.end-p.start+size); err == nil {
			p.pieces[len(p.pieces)-1] = joined
			p.end += size
			return n - int(size), success
		}
	}
	piece, err := p.mem.Slice(addr, size)
	if err != nil {
		return n, dataTransferError
	}
	p.pieces = append(p.pieces, piece)
	p.start, p.end = addr, addr+size
	return n - int(size), success
}

// store copies data to the guest, as far as there is room for it.
func (p *pages) store(data []byte) {
	for _, piece := range p.pieces {
		data = data[copy(piece, data):]
	}
}
