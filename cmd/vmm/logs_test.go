package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sharevm/vmm/machine/journal"
)

// TestLogs shows what is kept of a machine that has ended, and of one that runs.
func TestLogs(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if out, err := command(t, "logs"); err != nil || strings.Count(out, "\n") != 1 {
		t.Errorf("without machines: %q, %v", out, err)
	}
	if out, err := command(t, "logs", "--json"); err != nil || out != "[]\n" {
		t.Errorf("%q, %v", out, err)
	}
	folder, err := journal.Folder()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"gone", "here"} {
		j := journal.New()
		keepJournal(j, id, logger(newRoot()))
		for i := range 5 {
			fmt.Fprintf(j.Source(journal.Guest), "line %d\n", i)
		}
		defer j.Close()
		if id == "gone" {
			j.Close()
		}
	}
	out, err := command(t, "logs")
	if err != nil || !regexp.MustCompile(`(?m)^gone .*ended$`).MatchString(out) || !regexp.MustCompile(`(?m)^here .*running$`).MatchString(out) {
		t.Errorf("%s, %v", out, err)
	}
	out, err = command(t, "logs", "gone", "-n", "2", "-f")
	if err != nil || !regexp.MustCompile(`^20\d\d-\S+Z guest line 3\n20\d\d-\S+Z guest line 4\n$`).MatchString(out) {
		t.Errorf("%q, %v", out, err)
	}
	out, err = command(t, "logs", "gone", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var e journal.Entry
	if err != nil || len(lines) != 5 || json.Unmarshal([]byte(lines[0]), &e) != nil || e.Text != "line 0" || e.Source != journal.Guest || e.Time.IsZero() {
		t.Errorf("%s, %v", out, err)
	}
	if _, err := command(t, "logs", "other"); !errors.Is(err, journal.ErrNone) {
		t.Error(err)
	}
	if ids, _ := completeLogs(nil, nil, ""); len(ids) != 2 {
		t.Errorf("%v", ids)
	}
	keepJournal(journal.New(), "", logger(newRoot()))
	if all, err := filepath.Glob(filepath.Join(folder, "*")); err != nil || len(all) != 4 {
		t.Errorf("%v, %v", all, err)
	}
}
