package vmx

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// charsets maps the names that .encoding may hold, lower case and without dashes and underscores. Only character sets
// that keep quote, equals sign, hash and line feed out of multi-byte sequences may stand here: a line is cut up before it is
// decoded. That leaves out UTF-16, UTF-7 and the ISO-2022 family. A nil encoding is UTF-8.
var charsets = map[string]encoding.Encoding{
	"utf8": nil, "usascii": nil, "ascii": nil,
	"windows1250": charmap.Windows1250, "windows1251": charmap.Windows1251, "windows1252": charmap.Windows1252,
	"windows1253": charmap.Windows1253, "windows1254": charmap.Windows1254, "windows1255": charmap.Windows1255,
	"windows1256": charmap.Windows1256, "windows1257": charmap.Windows1257, "windows1258": charmap.Windows1258,
	"windows874": charmap.Windows874, "iso88591": charmap.ISO8859_1, "iso88592": charmap.ISO8859_2,
	"iso88595": charmap.ISO8859_5, "iso88597": charmap.ISO8859_7, "iso88599": charmap.ISO8859_9,
	"iso885915": charmap.ISO8859_15, "koi8r": charmap.KOI8R, "macintosh": charmap.Macintosh,
	"ibm437": charmap.CodePage437, "ibm850": charmap.CodePage850,
	"shiftjis": japanese.ShiftJIS, "sjis": japanese.ShiftJIS, "windows31j": japanese.ShiftJIS, "windows932": japanese.ShiftJIS,
	"cp932": japanese.ShiftJIS, "eucjp": japanese.EUCJP,
	"gbk": simplifiedchinese.GBK, "gb2312": simplifiedchinese.GBK, "windows936": simplifiedchinese.GBK, "gb18030": simplifiedchinese.GB18030,
	"big5": traditionalchinese.Big5, "windows950": traditionalchinese.Big5,
	"euckr": korean.EUCKR, "windows949": korean.EUCKR,
}

// charset is the character set of one file.
type charset struct {
	name string
	enc  encoding.Encoding // nil is UTF-8
}

func findCharset(name string) (charset, bool) {
	enc, ok := charsets[strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))]
	return charset{name: name, enc: enc}, ok
}

// guessCharset is for a file without .encoding.
func guessCharset(data string) charset {
	if utf8.ValidString(data) {
		return charset{name: "UTF-8"}
	}
	return charset{name: "windows-1252", enc: charmap.Windows1252}
}

// decode turns bytes of the file into UTF-8; what is not valid becomes U+FFFD.
func (c charset) decode(raw string) string {
	if isASCII(raw) {
		return raw
	}
	if c.enc != nil {
		if text, err := c.enc.NewDecoder().String(raw); err == nil {
			return text
		}
	}
	return strings.ToValidUTF8(raw, "\uFFFD")
}

// encode turns text into bytes of the file; ok is false when the character set lacks one of its characters.
func (c charset) encode(text string) (raw string, ok bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	if c.enc == nil || isASCII(text) {
		return text, true
	}
	raw, err := c.enc.NewEncoder().String(text)
	return raw, err == nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
