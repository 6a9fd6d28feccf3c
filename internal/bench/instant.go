package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/browser"
	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/host"
	"github.com/sharevm/vmm/vmm/kvm"
)

// smallDir is the folder, in the one for what is built, of the browser machine with the small kernel.
const smallDir = "browser-small"

// instantMachine is a machine whose first and second starts are measured.
type instantMachine struct {
	name string // in the report
	vmx  string
	page rest // its first picture at rest
}

// measureInstant measures what a user waits for who starts a session with a machine of instant starts: the first time, when it boots, and from then on. It runs where the user would,
// outside of any nested host, with a cache that is empty at first.
func measureInstant(ctx context.Context, o options, r *report.Report) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	program, err := filepath.Abs(filepath.Join(o.dir, vmmFile))
	if err != nil {
		return err
	}
	if err := compile(ctx, program, vmmPackage); err != nil {
		return err
	}
	machines := []*instantMachine{{name: report.Ours, vmx: o.vmx}}
	r.Note("instant: %s is %s, whose kernel is %s", report.Ours, o.vmx, kernelOf(o.vmx))
	if o.kernel != "" {
		small, err := withKernel(ctx, o)
		if err != nil {
			return err
		}
		machines = append(machines, small)
	}
	b, err := newInstantBench(o, program)
	if err != nil {
		return err
	}
	defer b.close()
	ways := []way{{"instant-nested-", "--nested=yes"}}
	if runsGuests() {
		ways = append([]way{{"instant-", "--nested=no"}}, ways...)
	}
	for _, w := range ways {
		if err := b.rounds(ctx, w, machines, r); err != nil {
			return err
		}
	}
	return nil
}

// way is where machines run: here, or in the nested host.
type way struct{ prefix, option string }

func (w way) nested() bool { return w.option == "--nested=yes" }

// runsGuests says whether this host's KVM runs ordinary guests.
func runsGuests() bool {
	sys, err := kvm.Open("")
	if err != nil {
		return false
	}
	defer sys.Close()
	kind, err := host.Classify(sys)
	return err == nil && kind == host.Ordinary
}

// withKernel makes the browser machine once more, with the small kernel and the .vmx of the other one.
func withKernel(ctx context.Context, o options) (*instantMachine, error) {
	dir := filepath.Join(o.dir, smallDir)
	say := func(s string) { fmt.Fprintln(os.Stderr, "bench:", s) }
	if err := browser.Build(ctx, dir, browser.Options{Kernel: o.kernel, Progress: say}); err != nil {
		return nil, err
	}
	m := &instantMachine{vmx: filepath.Join(dir, filepath.Base(o.vmx))}
	if err := filecopy.Copy(o.vmx, m.vmx); err != nil {
		return nil, err
	}
	kernel := kernelOf(m.vmx)
	if kernel == kernelOf(o.vmx) {
		return nil, fmt.Errorf("%s has the kernel of %s already; give one with Debian's", o.vmx, o.kernel)
	}
	m.name = report.Ours + ", kernel " + kernel
	return m, nil
}

// kernelOf is the release of the kernel that a machine of package browser is made with, as far as it says so.
func kernelOf(vmx string) string {
	var made struct{ Kernel string }
	b, err := os.ReadFile(filepath.Join(filepath.Dir(vmx), "manifest.json"))
	if err != nil || json.Unmarshal(b, &made) != nil || made.Kernel == "" {
		return "not known"
	}
	return made.Kernel
}

// instantBench has a home of its own, so that the user's snapshots are neither used nor removed.
type instantBench struct {
	o       options
	program string
	home    string   // for sockets and journals
	cache   string   // for snapshots, on the disk of what is built
	env     []string // of sessions
}

func newInstantBench(o options, program string) (b *instantBench, err error) {
	b = &instantBench{o: o, program: program}
	if b.home, err = os.MkdirTemp("", "bench"); err != nil { // its name is short enough for sockets
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	if b.cache, err = os.MkdirTemp(dir, "cache"); err != nil {
		return nil, err
	}
	// The nested host's kernel need not be fetched anew.
	packages, err := debian.DefaultDir()
	if err != nil {
		return nil, err
	}
	err = errors.Join(os.MkdirAll(packages, 0o755), os.Mkdir(filepath.Join(b.cache, "vmm"), 0o700), os.Symlink(packages, filepath.Join(b.cache, "vmm", filepath.Base(packages))))
	if err != nil {
		return nil, err
	}
	b.env = append(os.Environ(), "XDG_CACHE_HOME="+b.cache, "XDG_RUNTIME_DIR="+b.home, "XDG_STATE_HOME="+b.home)
	return b, nil
}

func (b *instantBench) close() {
	_ = os.RemoveAll(b.home)
	if b.cache != "" {
		_ = os.RemoveAll(b.cache)
	}
}

// forget removes all snapshots.
func (b *instantBench) forget() error { return os.RemoveAll(filepath.Join(b.cache, "vmm", "instant")) }

// rounds measures first starts, machines taking turns, the last of which makes the snapshot, and then starts from that.
func (b *instantBench) rounds(ctx context.Context, w way, machines []*instantMachine, r *report.Report) error {
	for round := range b.o.rounds {
		if err := b.forget(); err != nil { // also those that the last round has made in vain
			return err
		}
		for _, m := range machines {
			if err := b.first(ctx, w, m, round == b.o.rounds-1, r); err != nil {
				return fmt.Errorf("first start of %s: %w", m.vmx, err)
			}
		}
	}
	for range b.o.rounds {
		for _, m := range machines {
			for _, when := range []string{unrehearsed, secondStart} {
				if err := b.again(ctx, w, m, when, r); err != nil {
					return fmt.Errorf("%s start of %s: %w", when, m.vmx, err)
				}
			}
		}
	}
	return b.forget()
}

// Starts from a snapshot: the pages that are needed first are known from a rehearsal, and read ahead; or there was none, as where the session ended before.
const (
	secondStart = "second"
	unrehearsed = "unrehearsed"
)

// sets are the files of the snapshots that name the pages that are needed first, whether they are there or not.
func (b *instantBench) sets() (paths []string, err error) {
	states, err := filepath.Glob(filepath.Join(b.cache, "vmm", "instant", "[^.]*", snapshot.StateFile))
	for _, path := range states {
		paths = append(paths, filepath.Join(filepath.Dir(path), snapshot.WorkingFile))
	}
	return paths, err
}

// forgetPages has a start from a snapshot be one without a rehearsal, until back is called.
func (b *instantBench) forgetPages() (back func() error, err error) {
	sets, err := b.sets()
	if err != nil {
		return nil, err
	}
	const hidden = ".rehearsed"
	for _, set := range sets {
		if err := os.Rename(set, set+hidden); err != nil {
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for _, set := range sets {
			errs = append(errs, os.Rename(set+hidden, set))
		}
		return errors.Join(errs...)
	}, nil
}

// rehearsed waits until the pages that are needed first are known of all snapshots.
func (b *instantBench) rehearsed(ctx context.Context) error {
	for {
		sets, err := b.sets()
		if err != nil {
			return err
		}
		lacking := len(sets) == 0
		for _, set := range sets {
			info, err := os.Stat(set)
			lacking = lacking || err != nil || info.Size() == 0
		}
		if !lacking {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the rehearsal: %w", ctx.Err())
		case <-time.After(restLook):
		}
	}
}

// first measures a start without a snapshot, and how long it takes until there is one if that is to be made.
func (b *instantBench) first(ctx context.Context, w way, m *instantMachine, save bool, r *report.Report) error {
	ctx, cancel := context.WithTimeout(ctx, firstLimit)
	defer cancel()
	s, err := b.start(ctx, w, m)
	if err != nil {
		return err
	}
	defer s.end()
	page, painted, err := s.settle()
	if err != nil {
		return s.why(err)
	}
	if err := m.known(&page, s.screen.width); err != nil {
		return err
	}
	if err := b.keep(w, m, "first", s.screen); err != nil {
		return err
	}
	m.page = page
	b.add(r, w, m, "first", painted)
	if save {
		made, err := s.says(saidMade)
		if err != nil {
			return err
		}
		b.add(r, w, m, "saved", made)
		if err := b.rehearsed(ctx); err != nil {
			return err
		}
		b.add(r, w, m, "rehearsed", time.Since(s.began))
	}
	return s.finish()
}

// again measures a start from the snapshot, to the page and to the first key that is answered.
func (b *instantBench) again(ctx context.Context, w way, m *instantMachine, when string, r *report.Report) (err error) {
	if when == unrehearsed {
		var back func() error
		if back, err = b.forgetPages(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, back()) }()
	}
	ctx, cancel := context.WithTimeout(ctx, againLimit)
	defer cancel()
	s, err := b.start(ctx, w, m)
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.screen.await(func(v *viewer) bool { return m.page.exactly(v.pixels) }); err != nil {
		return s.why(fmt.Errorf("the page, pixel by pixel: %w", err))
	}
	painted := time.Since(s.began)
	if err := b.keep(w, m, when, s.screen); err != nil {
		return err
	}
	var typed time.Duration
	if m.page.asks {
		if typed, err = s.typed(&m.page); errors.Is(err, os.ErrDeadlineExceeded) {
			r.Note("%s%s: %s has not answered a key within %v", w.prefix, when, m.name, keyLimit)
		} else if err != nil {
			return s.why(fmt.Errorf("the answer to a key: %w", err))
		}
	}
	if err := s.finish(); err != nil {
		return err
	}
	if s.step(stepRestored) == 0 {
		return errors.New("it did not start from its snapshot")
	}
	b.add(r, w, m, when, painted)
	if typed > 0 {
		b.add(r, w, m, when+"-key", typed)
	}
	if w.nested() {
		b.add(r, w, m, when+"-host", s.up)
	}
	return nil
}

// add notes a time from the command on.
func (b *instantBench) add(r *report.Report, w way, m *instantMachine, what string, d time.Duration) {
	s := r.Of(w.prefix+what, "s", m.name)
	s.Aside = m.name != report.Ours
	s.Add(d.Seconds())
	if b.o.verbose {
		fmt.Fprintf(os.Stderr, "%s%s: %s, %.2f s\n", w.prefix, what, m.name, d.Seconds())
	}
}

// keep stores what the viewer has as a picture, for people to look at.
func (b *instantBench) keep(w way, m *instantMachine, when string, v *viewer) error {
	name := strings.NewReplacer(", ", "-", " ", "-").Replace(w.prefix + when + "-" + m.name)
	return v.writePNG(filepath.Join(b.o.dir, name+".png"))
}
