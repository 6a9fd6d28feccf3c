package nbd

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// wire takes fields from the data of an option. After the first that is not there, ok is false and all further ones are empty.
type wire struct {
	rest []byte
	bad  bool
}

func (w *wire) bytes(n uint32) []byte {
	if w.bad || uint64(n) > uint64(len(w.rest)) {
		w.bad = true
		return nil
	}
	b := w.rest[:n]
	w.rest = w.rest[n:]
	return b
}

func (w *wire) u16() uint16 {
	if b := w.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (w *wire) u32() uint32 {
	if b := w.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// str takes a string with its length before it (section "Conventions").
func (w *wire) str() string {
	n := w.u32()
	s := string(w.bytes(n))
	w.bad = w.bad || !isString(s)
	return s
}

func isString(s string) bool {
	return len(s) <= maxString && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// end reports whether all was there and nothing is left.
func (w *wire) end() bool { return !w.bad && len(w.rest) == 0 }

// parseGo takes the data of INFO and GO apart. Only what is known is kept of the information that is asked for: bit n for number n.
func parseGo(data []byte) (name string, infos uint8, ok bool) {
	w := wire{rest: data}
	name = w.str()
	for range w.u16() {
		if n := w.u16(); n <= infoBlockSize && !w.bad {
			infos |= 1 << n
		}
		if w.bad {
			break
		}
	}
	return name, infos, w.end()
}

// parseMeta takes the data of LIST_META_CONTEXT and SET_META_CONTEXT apart and returns the contexts that its queries match. No query at all
// lists everything and selects nothing.
func parseMeta(data []byte, list bool) (name string, set contextSet, ok bool) {
	w := wire{rest: data}
	name = w.str()
	n := w.u32()
	if n == 0 && list {
		set = 1<<numContexts - 1
	}
	for ; n > 0 && !w.bad; n-- {
		set |= match(w.str(), list)
	}
	return name, set, w.end()
}
