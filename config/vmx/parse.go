package vmx

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of what Parse accepts. Real files have some hundred lines; guestinfo values may be long.
const (
	MaxFileSize = 4 << 20 // bytes
	MaxLines    = 32768
	maxKey      = 1024 // bytes
)

// Sentinels that errors of this package wrap.
var (
	ErrTooLarge = errors.New("too large for a .vmx file")
	ErrNotVMX   = errors.New("not a .vmx file")
)

const byteOrderMark = "\xef\xbb\xbf"

// line is one line of a file. A line without a key carries nothing that is understood: blank, comment, or broken.
type line struct {
	raw      string // all bytes, with the line's ending
	key      string // as spelled; "" for none
	value    string // decoded
	from, to int    // raw[from:to] is the value with its quotes
	problem  string // what is wrong with the line, "" if nothing
}

// Parse reads a .vmx file. The name is used in messages only. Lines that make no sense are kept and reported by
// [Load]; Parse itself fails on files that are too large, hold NUL bytes, or name a character set that it does not know.
func Parse(name string, data []byte) (*File, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s: %w (%d bytes, at most %d)", name, ErrTooLarge, len(data), MaxFileSize)
	}
	text := string(data)
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, fmt.Errorf("%s:%d: %w: the line holds a NUL byte", name, 1+strings.Count(text[:i], "\n"), ErrNotVMX)
	}
	if n := strings.Count(text, "\n"); n >= MaxLines {
		return nil, fmt.Errorf("%s: %w (%d lines, at most %d)", name, ErrTooLarge, n, MaxLines)
	}
	f := &File{name: name, eol: "\n"}
	for raw := range strings.Lines(text) {
		f.lines = append(f.lines, cut(raw, len(f.lines) == 0))
	}
	if len(f.lines) > 0 && strings.HasSuffix(f.lines[0].raw, "\r\n") {
		f.eol = "\r\n"
	}
	f.charset = guessCharset(text)
	f.reindex()
	if i, ok := f.find(encodingKey); ok {
		cs, known := findCharset(f.lines[i].value)
		if !known {
			return nil, fmt.Errorf("%s:%d: .encoding = %q is a character set that vmm does not know: save the file as UTF-8", name, i+1, clip(f.lines[i].value))
		}
		f.charset = cs
	}
	for i := range f.lines {
		if l := &f.lines[i]; l.key != "" {
			l.value = unescape(f.charset.decode(l.value), f.charset)
		}
	}
	return f, nil
}

// cut takes one line apart. The value is left as it stands in the file: neither decoded nor unescaped.
func cut(raw string, first bool) line {
	l := line{raw: raw}
	start := 0
	if first && strings.HasPrefix(raw, byteOrderMark) {
		start = len(byteOrderMark)
		l.problem = "the file begins with a byte order mark, which VMware takes for a broken file: save it as UTF-8 without one"
	}
	body := strings.TrimRight(raw, "\r\n")
	trimmed := strings.TrimLeft(body[start:], " \t")
	if trimmed == "" || trimmed[0] == '#' || strings.HasPrefix(trimmed, "//") {
		return l
	}
	start = len(body) - len(trimmed)
	equals := strings.IndexByte(trimmed, '=')
	key := ""
	if equals >= 0 {
		key = strings.TrimRight(trimmed[:equals], " \t")
	}
	if !validKey(key) {
		l.problem = fmt.Sprintf("the line is not of the form key = \"value\": %q", clip(trimmed))
		return l
	}
	l.key = key
	l.from = start + equals + 1
	l.from += len(body[l.from:]) - len(strings.TrimLeft(body[l.from:], " \t"))
	l.value, l.to = body[l.from:], len(body)
	if strings.HasPrefix(l.value, `"`) {
		l.cutQuoted(body)
	} else {
		l.cutBare()
	}
	return l
}

func (l *line) cutQuoted(body string) {
	l.value = l.value[1:]
	end := strings.IndexByte(l.value, '"')
	if end < 0 {
		l.value = strings.TrimRight(l.value, " \t")
		l.problem = "the closing quote is missing"
		return
	}
	l.value = l.value[:end]
	l.to = l.from + end + 2
	rest := strings.TrimLeft(body[l.to:], " \t\r")
	if rest != "" && rest[0] != '#' && !strings.HasPrefix(rest, "//") {
		l.to = len(body)
		l.problem = fmt.Sprintf("text after the closing quote is ignored (write a quote inside a value as |22): %q", clip(rest))
	}
}

func (l *line) cutBare() {
	for i := range len(l.value) {
		if l.value[i] == '#' && (i == 0 || l.value[i-1] == ' ' || l.value[i-1] == '\t') {
			l.value = l.value[:i]
			break
		}
	}
	l.value = strings.TrimRight(l.value, " \t\r")
	l.to = l.from + len(l.value)
}

// validKey reports whether s can stand before an equals sign: printable ASCII without blanks, quotes and hashes, of a
// length that keeps work on its parts cheap.
func validKey(s string) bool {
	return s != "" && len(s) <= maxKey && !strings.HasPrefix(s, "//") && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '#' || r == '='
	})
}

// clip shortens text from a file for a message.
func clip(s string) string {
	const limit = 60
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}
