package vmdk

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// encodingLine finds the character set that a descriptor says it is written in. VMware writes the line near the top; older
// programs have it among the ddb values.
var encodingLine = regexp.MustCompile(`(?im)^[ \t]*(?:ddb\.)?encoding[ \t]*=[ \t]*"?([^"\r\n]{1,40})`)

// decoder returns what turns the descriptor's names into UTF-8.
func decoder(text []byte) func(string) (string, error) {
	label := "utf-8"
	if m := encodingLine.FindSubmatch(text); m != nil {
		label = strings.ToLower(string(bytes.TrimSpace(m[1])))
	}
	return func(name string) (string, error) {
		if isASCII(name) || label == "utf-8" {
			return name, nil // not always valid UTF-8, but the name that the file has here
		}
		set, err := htmlindex.Get(label)
		if err != nil {
			return "", fmt.Errorf("name %q is written in an unknown character set %q", clip(name), label)
		}
		s, err := set.NewDecoder().String(name)
		if err != nil {
			return "", fmt.Errorf("name %q is not %s: %w", clip(name), label, err)
		}
		return s, nil
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
