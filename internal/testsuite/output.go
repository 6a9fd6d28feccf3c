package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
}

// readJSON counts what `go test -json` reports, prints a line for each package and everything that a failed one said.
func readJSON(r io.Reader, c *count, verbose bool) {
	said := map[string]*strings.Builder{} // by package
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var e event
		if json.Unmarshal(s.Bytes(), &e) != nil {
			fmt.Println(s.Text())
			continue
		}
		b := said[e.Package]
		if b == nil {
			b = &strings.Builder{}
			said[e.Package] = b
		}
		switch e.Action {
		case "output", "build-output":
			b.WriteString(e.Output)
			if verbose {
				fmt.Print(e.Output)
			}
		case "pass", "fail", "skip":
			if e.Test != "" {
				c.add(e.Action)
				if e.Action == "skip" && !verbose {
					fmt.Printf("skip  %s %s%s\n", e.Package, e.Test, reason(b.String(), e.Test))
				}
				continue
			}
			if e.Action == "fail" && !verbose {
				fmt.Print(b.String())
			}
			if e.Action != "skip" { // a package without tests is not worth a line
				fmt.Printf("%-5s %s %.1fs\n", e.Action, e.Package, e.Elapsed)
			}
			delete(said, e.Package)
		}
	}
}

func (c *count) add(action string) {
	switch action {
	case "pass":
		c.passed++
	case "fail":
		c.failed++
	case "skip":
		c.skipped++
	}
}

// reason finds what a test said when it skipped itself.
func reason(output, test string) string {
	_, after, ok := strings.Cut(output, "=== RUN   "+test+"\n")
	if !ok {
		return ""
	}
	for _, l := range strings.Split(after, "\n") {
		if m := skipLine.FindStringSubmatch(l); m != nil {
			return ": " + m[1]
		}
	}
	return ""
}

var (
	skipLine   = regexp.MustCompile(`^\s+\S+_test\.go:\d+: (.*)$`)
	resultLine = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \((\S+)\)`)
)

// readVerbose counts what a test binary run with -test.v prints, shows results as they come, and all that was said when something failed.
func readVerbose(r io.Reader, c *count, verbose bool) {
	var all strings.Builder
	failed := c.failed
	s := bufio.NewScanner(r)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		all.WriteString(s.Text() + "\n")
		m := resultLine.FindStringSubmatch(s.Text())
		if m != nil {
			c.add(strings.ToLower(m[1]))
		}
		switch {
		case verbose:
			fmt.Println(s.Text())
		case m != nil:
			fmt.Printf("%-5s %s %s\n", strings.ToLower(m[1]), m[2], m[3])
		}
	}
	if c.failed > failed && !verbose {
		fmt.Print(all.String())
	}
}
