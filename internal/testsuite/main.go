// Command testsuite runs every test of the project at its level and says at the end how many ran at each:
//
//	plain    needs nothing but Go
//	payload  runs a few instructions on /dev/kvm, whatever kind it is; skipped where none opens
//	guest    boots real guests on real KVM: here if this host has it, otherwise in the nested host, booted once
//
// With -matrix it boots a real Debian on every controller, by either firmware, from each format, and prints a table. With -soak it only boots guests in a row,
// with -soak-snapshots it only suspends one; with -fuzz it runs every fuzz target for a while; with -hostile it only has a guest attack
// its machine; with -kiosk it only shows a session on a host's own screen;
// with -browser it uses the browser machine in a folder, with -viewers it only runs the tests with other people's viewers.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/sharevm/vmm/images/nested/agent"
)

// out is where built things go; it is not under version control.
const out = "out/test"

func main() {
	agent.RunIfInit() // this program is the nested host's first process
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	soak := flag.Int("soak", 0, "boot a guest this many times in a row and look for leaks")
	snapshots := flag.Int("soak-snapshots", 0, "suspend a machine under load this many times in a row")
	fuzz := flag.Duration("fuzz", 0, "run every fuzz target for this long")
	kiosk := flag.Bool("kiosk", false, "show a session on the screen of a host without a desktop")
	hostile := flag.Duration("hostile", 0, "have a hostile guest attack its machine for this long")
	matrix := flag.Bool("matrix", false, "boot Debian on every controller, by either firmware; -run chooses as TestDebian/ide/efi does, or TestBoots for other people's programs")
	viewers := flag.Bool("viewers", false, "run only the tests with other people's viewers")
	browser := flag.String("browser", "", "use the browser machine in this folder")
	run := flag.String("run", "", "run only the tests that match, at every level")
	levels := flag.String("levels", "plain,payload,guest", "run only these levels")
	verbose := flag.Bool("v", false, "print what every test prints")
	flag.Parse()
	if err := os.MkdirAll(out, 0o755); err != nil {
		fail(err)
	}
	switch {
	case *fuzz > 0:
		if err := fuzzAll(ctx, *fuzz); err != nil {
			fail(err)
		}
	case *soak > 0:
		s := &suite{verbose: *verbose, run: "TestSoak", env: []string{fmt.Sprintf("VMM_SOAK=%d", *soak)}, levels: "guest"}
		s.all(ctx)
	case *snapshots > 0:
		s := &suite{verbose: true, run: "TestSuspend$", env: []string{fmt.Sprintf("VMM_SOAK_SNAPSHOTS=%d", *snapshots)}, levels: "guest"}
		s.all(ctx)
	case *matrix:
		s := &suite{verbose: true, run: cmp.Or(*run, "TestDebian|TestFirmware"), env: []string{"VMM_MATRIX=all"}, levels: "guest", limit: matrixLimit}
		s.all(ctx)
	case *kiosk:
		s := &suite{verbose: true, run: *run, levels: "kiosk"}
		s.all(ctx)
	case *viewers:
		s := &suite{verbose: *verbose, run: *run, levels: "viewers"}
		s.all(ctx)
	case *browser != "":
		s := &suite{verbose: true, run: "TestBrowser", env: []string{"VMM_BROWSER=" + abs(*browser)}, levels: "guest"}
		s.all(ctx)
	case *hostile > 0:
		s := &suite{verbose: true, run: "TestHostile", env: []string{"VMM_HOSTILE=" + hostile.String()}, levels: "guest"}
		s.all(ctx)
	default:
		s := &suite{verbose: *verbose, run: *run, levels: *levels}
		s.all(ctx)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "testsuite:", err)
	os.Exit(1)
}

// suite is a run of tests.
type suite struct {
	verbose bool
	run     string        // regular expression of test names, "" for all
	levels  string        // comma-separated
	env     []string      // for guest tests
	limit   time.Duration // of the guest tests; 0 stands for guestLimit
	counts  []count
}

// count is what came of a level.
type count struct {
	level                   string
	passed, failed, skipped int
	note                    string
	took                    time.Duration
}

// all runs the levels and ends the program.
func (s *suite) all(ctx context.Context) {
	for _, l := range []struct {
		name string
		run  func(context.Context, *count) error
	}{{"plain", s.plain}, {"payload", s.payload}, {"guest", s.guest}, {"kiosk", s.kiosk}, {"viewers", s.viewers}} {
		if !contains(s.levels, l.name) {
			continue
		}
		fmt.Printf("== %s tests\n", l.name)
		c := count{level: l.name}
		start := time.Now()
		if err := l.run(ctx, &c); err != nil {
			fmt.Fprintf(os.Stderr, "testsuite: %s tests: %v\n", l.name, err)
			c.failed = max(c.failed, 1)
		}
		c.took = time.Since(start).Round(time.Second)
		s.counts = append(s.counts, c)
	}
	passed, failed, skipped := 0, 0, 0
	line := "tests:"
	for _, c := range s.counts {
		line += fmt.Sprintf(" %s %d passed", c.level, c.passed)
		if c.skipped > 0 {
			line += fmt.Sprintf(" %d skipped", c.skipped)
		}
		if c.failed > 0 {
			line += fmt.Sprintf(" %d FAILED", c.failed)
		}
		line += fmt.Sprintf(" in %v%s;", c.took, c.note)
		passed, failed, skipped = passed+c.passed, failed+c.failed, skipped+c.skipped
	}
	fmt.Println(line[:len(line)-1])
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if failed > 0 || passed == 0 {
		os.Exit(1)
	}
	os.Exit(0)
}

// abs is path from the module's root, made absolute.
func abs(path string) string {
	a, err := filepath.Abs(path)
	if err != nil {
		fail(err)
	}
	return a
}
