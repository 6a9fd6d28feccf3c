package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

var executions = regexp.MustCompile(`execs: (\d+)`)

// fuzzAll runs every fuzz target of every package and prints how many inputs each has tried.
func fuzzAll(ctx context.Context, each time.Duration) error {
	b, err := exec.CommandContext(ctx, "go", "list", "-f", "{{if .TestGoFiles}}{{.ImportPath}}{{else if .XTestGoFiles}}{{.ImportPath}}{{end}}", "./...").Output()
	if err != nil {
		return err
	}
	bad := 0
	for _, pkg := range strings.Fields(string(b)) {
		list, err := exec.CommandContext(ctx, "go", "test", "-list", "^Fuzz", pkg).Output()
		if err != nil {
			return fmt.Errorf("list the fuzz targets of %s: %w", pkg, err)
		}
		for s := bufio.NewScanner(bytes.NewReader(list)); s.Scan(); {
			if !strings.HasPrefix(s.Text(), "Fuzz") {
				continue
			}
			// Left to itself Go may spend the whole time on making the first interesting input smaller.
			out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+s.Text()+"$", "-fuzztime", each.String(), "-fuzzminimizetime", "10x", pkg).CombinedOutput()
			tried := "0"
			if all := executions.FindAllSubmatch(out, -1); len(all) > 0 {
				tried = string(all[len(all)-1][1])
			}
			verdict := "ok"
			if err != nil && !ranOut(out) {
				bad++
				verdict = "FAILED"
				_, _ = os.Stdout.Write(out)
			}
			fmt.Printf("%-6s %s %s: %s executions\n", verdict, pkg, s.Text(), tried)
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d fuzz targets failed", bad)
	}
	return nil
}

// ranOut says whether a run failed only by being in the midst of an input when its time was up, which Go reports as a failure now and
// then: there is no input to keep.
func ranOut(out []byte) bool {
	return bytes.Contains(out, []byte("context deadline exceeded")) && !bytes.Contains(out, []byte("Failing input written"))
}
