package vmdk

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// encodingLine finds the character set that a descriptor says it is written in. VMware writes the line near the top; older
// programs have it among the ddb values.
var encodingLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?im)^[ \t]*(?:ddb\.)?encoding[ \t]*=[ \t]*"?([^"\r\n]{1,40})`)
})

// label returns the name of the descriptor's character set.
func label(text []byte) string {
	if m := encodingLine().FindSubmatch(text); m != nil {
		return strings.ToLower(string(bytes.TrimSpace(m[1])))
	}
	return "utf-8"
}

// decoder returns what turns the descriptor's names into UTF-8.
func decoder(text []byte) func(string) (string, error) {
	label := label(text)
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

// encodeName returns a name as the descriptor has to have it.
func encodeName(text []byte, name string) (string, error) {
	if strings.ContainsAny(name, "\"\n\r\x00\\") || len(name) > maxName {
		return "", fmt.Errorf("a descriptor cannot hold the name %q", clip(name))
	}
	label := label(text)
	if isASCII(name) || label == "utf-8" {
		return name, nil
	}
	set, err := htmlindex.Get(label)
	if err != nil {
		return "", fmt.Errorf("the descriptor is written in an unknown character set %q, which may not have the name %q", label, clip(name))
	}
	s, err := set.NewEncoder().String(name)
	if err != nil {
		return "", fmt.Errorf("the descriptor's character set %s cannot express the name %q: %w", label, clip(name), err)
	}
	return s, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
