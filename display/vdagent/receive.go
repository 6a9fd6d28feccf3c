package vdagent

import (
	"encoding/binary"
	"errors"

	"github.com/sharevm/vmm/display/frontend"
)

// maxMessage bounds the data of a message that is looked at: the longest text, all of it ends of lines, and what stands before it.
const maxMessage = 2*frontend.MaxClipboard + selectionSize + 4

var errNonsense = errors.New("what the guest's agent says is not the SPICE agent protocol")

// header is the beginning of a chunk or a message, as far as it has come.
type header struct {
	b    [messageHeader]byte
	have int
}

// take takes what is missing of n bytes, and says whether they are all there.
func (h *header) take(p []byte, n int) (rest []byte, complete bool) {
	k := copy(h.b[h.have:n], p)
	h.have += k
	return p[k:], h.have == n
}

// receiver puts the guest's messages together.
type receiver struct {
	chunk   header
	inChunk uint32 // bytes that are left of the chunk
	head    header // of the message
	inData  uint32 // bytes that are left of its data
	skip    bool   // it is too long
	data    []byte
}

// take takes bytes up to the end of a message at most, and returns those that follow. If complete, kind and data are a message, valid until the next call.
func (r *receiver) take(p []byte) (rest []byte, kind uint32, data []byte, complete bool, err error) {
	le := binary.LittleEndian
	for len(p) > 0 {
		if r.inChunk == 0 {
			var whole bool
			if p, whole = r.chunk.take(p, chunkHeader); !whole {
				break
			}
			r.chunk.have = 0
			if port := le.Uint32(r.chunk.b[0:]); port != clientPort && port != serverPort {
				return nil, 0, nil, false, errNonsense
			}
			r.inChunk = le.Uint32(r.chunk.b[4:])
			continue
		}
		part := p[:min(uint64(len(p)), uint64(r.inChunk))]
		before := len(part)
		if part, complete, err = r.payload(part); err != nil {
			return nil, 0, nil, false, err
		}
		r.inChunk -= uint32(before - len(part))
		p = p[before-len(part):]
		if complete {
			return p, le.Uint32(r.head.b[4:]), r.data, true, nil
		}
	}
	return nil, 0, nil, false, nil
}

// payload takes bytes of a chunk up to the end of a message.
func (r *receiver) payload(p []byte) (rest []byte, complete bool, err error) {
	if r.head.have < messageHeader {
		var whole bool
		if p, whole = r.head.take(p, messageHeader); !whole {
			return nil, false, nil
		}
		if binary.LittleEndian.Uint32(r.head.b[0:]) != protocol {
			return nil, false, errNonsense
		}
		r.inData = binary.LittleEndian.Uint32(r.head.b[16:])
		r.skip = r.inData > maxMessage
		r.data = r.data[:0]
	}
	n := min(uint64(len(p)), uint64(r.inData))
	if !r.skip {
		r.data = append(r.data, p[:n]...)
	}
	r.inData -= uint32(n)
	if r.inData > 0 {
		return p[n:], false, nil
	}
	r.head.have = 0
	return p[n:], !r.skip, nil
}

// rest gives back the memory of a long message.
func (r *receiver) rest() {
	if cap(r.data) > maxChunk {
		r.data = nil
	}
}
