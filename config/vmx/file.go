package vmx

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

const encodingKey = ".encoding"

// File is a .vmx file in memory. What is not changed is written back byte for byte. It is not safe for concurrent use.
type File struct {
	name    string
	mode    fs.FileMode
	eol     string
	charset charset
	lines   []line
	index   map[string][]int // folded key to the lines that define it
}

// Name is the file's name as given to Open or Parse.
func (f *File) Name() string { return f.name }

// Encoding is the name of the file's character set.
func (f *File) Encoding() string { return f.charset.name }

// String is the whole file as it would be saved: for a file that was not changed, exactly what was read.
func (f *File) String() string {
	var b strings.Builder
	for _, l := range f.lines {
		b.WriteString(l.raw)
	}
	return b.String()
}

// Keys lists the keys in order of their first definition, each once, as spelled in the definition that counts.
func (f *File) Keys() []string {
	keys := make([]string, 0, len(f.index))
	for i, l := range f.lines {
		if l.key == "" {
			continue
		}
		if at := f.index[fold(l.key)]; at[0] == i {
			keys = append(keys, f.lines[at[len(at)-1]].key)
		}
	}
	return keys
}

// Get gives the value of a key, decoded to UTF-8. Of several definitions the last counts.
func (f *File) Get(key string) (value string, ok bool) {
	i, ok := f.find(key)
	if !ok {
		return "", false
	}
	return f.lines[i].value, true
}

// Line is the number of the line that defines a key, from 1, or 0 for a key that is not there.
func (f *File) Line(key string) int {
	i, ok := f.find(key)
	if !ok {
		return 0
	}
	return i + 1
}

// Set gives a key a value. An existing line keeps its place, spelling, spacing and trailing comment, and further
// definitions of the key are removed; a new key goes to the end. It fails when the file's character set lacks a character.
func (f *File) Set(key, value string) error {
	if !validKey(key) {
		return fmt.Errorf("%s: %q cannot be a key", f.name, key)
	}
	if strings.EqualFold(key, encodingKey) {
		return fmt.Errorf("%s: .encoding cannot be changed: the values are stored in it", f.name)
	}
	escaped := escape(value)
	raw, ok := f.charset.encode(escaped)
	if !ok || strings.IndexByte(value, 0) >= 0 || f.charset.decode(raw) != escaped {
		return fmt.Errorf("%s: %s = %q cannot be written in %s", f.name, key, clip(value), f.charset.name)
	}
	raw = `"` + raw + `"`
	at := f.index[fold(key)]
	if len(at) == 0 {
		f.append(key, raw, value)
		return nil
	}
	keep := at[len(at)-1]
	old := f.lines[keep]
	f.lines[keep] = cut(old.raw[:old.from]+raw+old.raw[old.to:], keep == 0)
	f.lines[keep].value = value
	f.remove(at[:len(at)-1])
	return nil
}

// Delete removes every definition of a key. It reports whether there was one.
func (f *File) Delete(key string) bool {
	at := f.index[fold(key)]
	f.remove(slices.Clone(at))
	return len(at) > 0
}

// Bool reads a switch: TRUE or FALSE in any case, also yes, no, on, off, 1 and 0. A missing or empty key is def. The error is
// a [*ValueError].
func (f *File) Bool(key string, def bool) (bool, error) {
	s, _ := f.Get(key)
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "":
		return def, nil
	case "true", "t", "yes", "y", "on", "1":
		return true, nil
	case "false", "f", "no", "n", "off", "0":
		return false, nil
	}
	return def, f.bad(key, "must be TRUE or FALSE")
}

// Int reads a decimal number (or a hexadecimal one with 0x) from lowest to highest. A missing or empty key is def. The
// error is a [*ValueError].
func (f *File) Int(key string, def, lowest, highest int64) (int64, error) {
	s, _ := f.Get(key)
	if s = strings.TrimSpace(s); s == "" {
		return def, nil
	}
	base := 10
	digits, hex := strings.CutPrefix(strings.ToLower(s), "0x")
	if hex {
		base = 16
	}
	n, err := strconv.ParseInt(digits, base, 64)
	if err != nil || n < lowest || n > highest {
		return def, f.bad(key, fmt.Sprintf("must be a number from %d to %d", lowest, highest))
	}
	return n, nil
}

// ValueError says that a key's value cannot be what it is.
type ValueError struct {
	File   string
	Line   int // from 1
	Key    string
	Value  string
	Reason string // "must be ..."
}

// Error names file and line.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s:%d: %s = %q %s", e.File, e.Line, e.Key, clip(e.Value), e.Reason)
}

func (f *File) bad(key, reason string) error {
	i, _ := f.find(key)
	return &ValueError{File: f.name, Line: i + 1, Key: f.lines[i].key, Value: f.lines[i].value, Reason: reason}
}

func (f *File) find(key string) (int, bool) {
	at := f.index[fold(key)]
	if len(at) == 0 {
		return 0, false
	}
	return at[len(at)-1], true
}

func (f *File) append(key, raw, value string) {
	if n := len(f.lines); n > 0 && !strings.HasSuffix(f.lines[n-1].raw, "\n") {
		f.lines[n-1].raw += f.eol
	}
	prefix := key + " = "
	f.lines = append(f.lines, line{
		raw: prefix + raw + f.eol, key: key, value: value, from: len(prefix), to: len(prefix) + len(raw),
	})
	f.index[fold(key)] = []int{len(f.lines) - 1}
}

func (f *File) remove(at []int) {
	if len(at) == 0 {
		return
	}
	gone := 0
	f.lines = slices.DeleteFunc(f.lines, func(line) bool {
		hit := len(at) > 0 && at[0] == gone
		if hit {
			at = at[1:]
		}
		gone++
		return hit
	})
	f.reindex()
}

func (f *File) reindex() {
	f.index = make(map[string][]int, len(f.lines))
	for i, l := range f.lines {
		if l.key != "" {
			f.index[fold(l.key)] = append(f.index[fold(l.key)], i)
		}
	}
}

// fold brings a key into the form that keys are compared in. Keys are ASCII.
func fold(key string) string { return strings.ToLower(key) }
