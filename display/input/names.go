package input

import (
	"fmt"
	"strings"
)

var (
	byCode   [MaxCode + 1]*key
	byName   = map[string]Code{}
	byXT     [256]Code
	byKeysym = map[uint32]Code{}
)

func init() {
	for i := range keys {
		k := &keys[i]
		byCode[k.code] = k
		byName[k.name] = k.code
		for _, a := range k.aliases {
			byName[a] = k.code
		}
		byXT[k.xt] = k.code
		for _, s := range k.keysyms {
			byKeysym[s] = k.code
		}
	}
	byXT[xtSysRq] = KeySysRq
	for r, p := range byRune {
		if r >= ' ' {
			byKeysym[uint32(r)] = p.Code // in Latin-1 a keysym is its character
		}
	}
}

// String is the key's name: Linux's, in lower case and without KEY_.
func (c Code) String() string {
	if c <= MaxCode && byCode[c] != nil {
		return byCode[c].name
	}
	return fmt.Sprintf("key %d", uint16(c))
}

// Lookup finds a key by its name ("f4", "leftctrl", "5"), or by another name that people give it ("ctrl", "del"). Case does not count.
func Lookup(name string) (Code, bool) {
	c, ok := byName[strings.ToLower(name)]
	return c, ok
}

// maxChord is how many keys a person's hands press at once.
const maxChord = 10

// Chord reads names of keys that are held down together, in the order in which they go down: "ctrl-alt-delete", "a".
func Chord(s string) ([]Code, error) {
	var chord []Code
	for name := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '-' || r == '+' }) {
		c, ok := Lookup(name)
		if !ok {
			return nil, fmt.Errorf("%q is not the name of a key: keys have names like a, 5, f4, enter, esc, leftctrl, minus, kpplus", name)
		}
		chord = append(chord, c)
	}
	if len(chord) == 0 || len(chord) > maxChord {
		return nil, fmt.Errorf("%q is not a chord of 1 to %d keys: it looks like ctrl-alt-delete", s, maxChord)
	}
	return chord, nil
}

// xtSysRq is what Print gives with Alt; without, it is as in the table.
const xtSysRq = 0x54

// FromXT finds a key by its scan code of set 1, whose top bit stands for the prefix E0h. That is also the XT keycode of QEMU's extended key
// events.
func FromXT(scan uint8) (Code, bool) {
	c := byXT[scan]
	return c, c != 0
}

// XT is the key's scan code of set 1, whose top bit stands for the prefix E0h; 0 where it has none. Pause is 46h with E0h.
func (c Code) XT() uint8 {
	if c <= MaxCode && byCode[c] != nil {
		return byCode[c].xt
	}
	return 0
}

// FromKeysym finds the key of a US keyboard that gives an X11 keysym, with Shift or without.
func FromKeysym(sym uint32) (Code, bool) {
	c, ok := byKeysym[sym]
	return c, ok
}
