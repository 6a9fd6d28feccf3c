package input

import "fmt"

// Press is a key that is pressed and let go, with or without Shift.
type Press struct {
	Code  Code
	Shift bool
}

// plain and shifted hold the characters of the keys that type any on a US keyboard, one under the other.
const (
	plain   = "`1234567890-=qwertyuiop[]\\asdfghjkl;'zxcvbnm,./ \t\n"
	shifted = "~!@#$%^&*()_+QWERTYUIOP{}|ASDFGHJKL:\"ZXCVBNM<>?   "
)

var plainKeys = [len(plain)]Code{
	KeyGrave, Key1, Key2, Key3, Key4, Key5, Key6, Key7, Key8, Key9, Key0, KeyMinus, KeyEqual,
	KeyQ, KeyW, KeyE, KeyR, KeyT, KeyY, KeyU, KeyI, KeyO, KeyP, KeyLeftBrace, KeyRightBrace, KeyBackslash,
	KeyA, KeyS, KeyD, KeyF, KeyG, KeyH, KeyJ, KeyK, KeyL, KeySemicolon, KeyApostrophe,
	KeyZ, KeyX, KeyC, KeyV, KeyB, KeyN, KeyM, KeyComma, KeyDot, KeySlash, KeySpace, KeyTab, KeyEnter,
}

// byRune says how a US keyboard types a character.
var byRune = func() map[rune]Press {
	m := map[rune]Press{}
	for i, c := range plainKeys {
		m[rune(shifted[i])] = Press{c, true}
	}
	for i, c := range plainKeys {
		m[rune(plain[i])] = Press{c, false}
	}
	return m
}()

// Text is what a US keyboard presses to type s, where a line ends in LF or CR LF. It errs at a character that such a keyboard does not have.
func Text(s string) ([]Press, error) {
	var all []Press
	for i, r := range s {
		if r == '\r' && i+1 < len(s) && s[i+1] == '\n' {
			continue
		}
		p, ok := byRune[r]
		if !ok {
			return nil, fmt.Errorf("%q at byte %d cannot be typed on a US keyboard", r, i)
		}
		all = append(all, p)
	}
	return all, nil
}
