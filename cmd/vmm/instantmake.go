package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/machine/instant"
	"github.com/sharevm/vmm/session"
	"github.com/sharevm/vmm/session/link"
)

// twinMaker makes the snapshot for a machine's instant starts, of a twin that nobody sees.
type twinMaker struct {
	options []string // of vmm run
	again   bool
	quiet   bool // about one that fits
	log     *slog.Logger
}

const (
	// twinLimit is how long a twin may take until it can be saved.
	twinLimit = 10 * time.Minute
	// twinCalm is how long a ready guest's picture has to stay as it is, and twinRestless how long that is waited for: some pictures never rest.
	twinCalm     = time.Second
	twinRestless = 15 * time.Second
	twinLook     = 100 * time.Millisecond
)

// make makes the snapshot, unless there is one that fits and is young.
func (mk *twinMaker) make(ctx context.Context, file string) error {
	fl, cfg, err := mk.load(ctx, file)
	if err != nil {
		return err
	}
	if err := canHaveTwin(cfg); err != nil {
		return err
	}
	store, err := instant.Open()
	if err != nil {
		return err
	}
	place, err := store.Place(file, cfg)
	if err != nil {
		return err
	}
	unlock, err := place.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := place.Check(); err == nil && !mk.again && place.Age() < instant.MaxAge && isWhole(place) {
		if !mk.quiet {
			fmt.Fprintf(os.Stderr, "vmm: there is a snapshot of %s that fits; --again makes another\n", filepath.Base(file))
		}
		return nil
	}
	if err := place.Room(cfg.Memory); err != nil {
		return fmt.Errorf("no snapshot for instant starts is made: %w", err)
	}
	options := mk.options
	if fl.instant {
		options = append(options, "--instant")
	}
	if file, err = filepath.Abs(file); err != nil {
		return err
	}
	if err := mk.save(ctx, file, cfg, place, options); err != nil {
		return err
	}
	if place, err = store.Place(file, cfg); err != nil { // it is there now
		return err
	}
	if err := mk.rehearse(ctx, file, cfg, place.Dir, options); err != nil && ctx.Err() == nil {
		mk.log.Info("which memory the snapshot's machines need first is found out by the first of them", "error", err)
	}
	return nil
}

// load reads what the machine is that the snapshot is to be of.
func (mk *twinMaker) load(ctx context.Context, file string) (*runFlags, *config.Machine, error) {
	fl := new(runFlags)
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fl.add(f)
	if err := f.Parse(mk.options); err != nil {
		return nil, nil, &exitError{exitUsage, fmt.Errorf("--run-option: %w", err)}
	}
	cfg, err := fl.load(ctx, file, os.Stderr, mk.log)
	if err != nil {
		return nil, nil, err
	}
	if !cfg.Run.Instant {
		fl.instant = true
	}
	if _, err := fl.override(cfg); err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	return fl, cfg, nil
}

// nest runs the same command in the nested host.
func (mk *twinMaker) nest(ctx context.Context, file string) error {
	_, cfg, err := mk.load(ctx, file)
	if err != nil {
		return err
	}
	c := nested.Config{MemoryMiB: 512, Shares: []string{cfg.Folder}}
	if cfg.CPU.Count > 1 {
		c.CPUs = 2
	}
	shareInstant(&c, []*config.Machine{cfg}, true)
	return nestedSelf(ctx, withoutNested(os.Args[1:]), c)
}

// isWhole says whether a snapshot can be opened; one that machines could not go on from cannot.
func isWhole(place *instant.Place) bool {
	s, err := openInstant(place)
	if err != nil {
		return false
	}
	s.Close()
	return true
}

// canHaveTwin errs where a second machine cannot run beside the first.
func canHaveTwin(m *config.Machine) error {
	for i := range m.NICs {
		if n := &m.NICs[i]; n.Connection == config.ConnTap {
			return fmt.Errorf("no snapshot for instant starts is made: ethernet%d is the host's %s, which only one machine can have", n.Index, n.Interface)
		}
	}
	if free, need := availableMemory(), twinNeeds(m); free > 0 && free < need {
		return fmt.Errorf("no snapshot for instant starts is made: that needs %d MiB of memory for a second machine, and the host has %d MiB to spare", need>>20, free>>20)
	}
	return nil
}

// twinNeeds is how much memory a twin may need, with what runs it, in bytes.
func twinNeeds(m *config.Machine) int64 { return m.Memory + m.Memory/4 }

// availableMemory is what the host could give without swapping, in bytes; 0 where it does not say.
func availableMemory() (n int64) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &n); err == nil {
			return n << 10
		}
	}
	return 0
}

// setBeside takes from a machine what only one of two can have, and no guest sees.
func setBeside(m *config.Machine) {
	m.Display.VNC = config.VNC{}
	for i := range m.NICs {
		m.NICs[i].Publish = nil
	}
}

// save runs the twin, and saves it when it is ready.
func (mk *twinMaker) save(ctx context.Context, file string, cfg *config.Machine, place *instant.Place, options []string) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, twinLimit, fmt.Errorf("it was not ready within %v", twinLimit))
	defer cancel()
	if mk.quiet { // nobody has asked for it
		fmt.Fprintf(os.Stderr, "vmm: %s is started once more in the background, to make a snapshot for instant starts of it; it is there when that is said\n", filepath.Base(file))
	}
	var said lastLines
	p, err := startUnseen(file, append([]string{"--cold"}, options...), &said)
	if err != nil {
		return err
	}
	defer func() {
		p.Kill()
		<-p.Ended()
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("make a snapshot of %s for instant starts: %w", filepath.Base(file), err)
		}
	}()
	if err := awaitRest(ctx, p, cfg.DisplayAdapter() != config.DisplayNone); err != nil {
		return fmt.Errorf("%w%s", err, said.text())
	}
	client, status, err := machineOf(ctx, p.PID())
	if err != nil {
		return err
	}
	names, err := client.SnapshotFiles(ctx)
	if err != nil {
		return err
	}
	draft, err := place.Create(names, status.Memory)
	if err != nil {
		return err
	}
	defer draft.Discard()
	began := time.Now()
	if err := client.SaveSnapshot(ctx, draft.Files, true); err != nil {
		return err
	}
	took := time.Since(began)
	var stored int64
	for _, f := range draft.Files {
		stored += allocated(f)
	}
	files, err := diskFiles(status)
	if err != nil {
		return err
	}
	if err := place.Commit(draft, files); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "vmm: %s starts instantly from now on: a snapshot of %d MiB was saved within %v, of a second machine that nobody had to wait for\n",
		filepath.Base(file), stored>>20, took.Round(10*time.Millisecond))
	return nil
}

// startUnseen starts a machine beside another like it, which nobody sees, with options of vmm run. What it prints goes to said.
func startUnseen(file string, options []string, said io.Writer) (*session.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	p, err := session.Start(self, append(append([]string{"run", "--link", "--twin", "--no-log"}, options...), file), said, func() {})
	if err != nil {
		return nil, err
	}
	p.Yield()
	p.Remote.Focus(false)
	return p, nil
}

// awaitRest waits until a machine is ready, shows something, and its picture rests.
func awaitRest(ctx context.Context, p *session.Process, screen bool) error {
	v := p.Remote.Surface.NewViewer()
	defer v.Close()
	tick := time.NewTicker(twinLook)
	defer tick.Stop()
	var ready, changed time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.Ended():
			return fmt.Errorf("%s before it was ready", endOf(p))
		case now := <-tick.C:
			u := v.Update()
			if len(u.Damage) > 0 || changed.IsZero() {
				changed = now
			}
			if state, _ := p.Remote.State(); state != link.Ready || screen && blank(&u.Frame) {
				ready = time.Time{}
				continue
			}
			if ready.IsZero() {
				ready = now
			}
			if now.Sub(changed) >= twinCalm || now.Sub(ready) >= twinRestless {
				return nil
			}
		}
	}
}

// endOf says how a machine has ended.
func endOf(p *session.Process) string { return cmp.Or(p.Why(), "it powered off") }

// blank says whether there is nothing to see in a picture: it is of one colour.
func blank(f *display.Frame) bool {
	if f.Off() || f.Height == 0 {
		return true
	}
	first := f.Line(0)
	pixel := len(first) / f.Width
	for x := pixel; x+pixel <= len(first); x += pixel {
		if !bytes.Equal(first[:pixel], first[x:x+pixel]) {
			return false
		}
	}
	for y := 1; y < f.Height; y++ {
		if !bytes.Equal(first, f.Line(y)) {
			return false
		}
	}
	return true
}

// lastLines keeps the end of what a program prints.
type lastLines struct {
	mu   sync.Mutex
	kept []byte
}

// lastKept is how much of it, in bytes.
const lastKept = 2048

// Write implements io.Writer.
func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	l.kept = l.kept[max(len(l.kept)-lastKept, 0):]
	return len(p), nil
}

// text is what was kept, for the end of a message.
func (l *lastLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(bytes.TrimSpace(l.kept)) == 0 {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(bytes.TrimSpace(l.kept))) {
		b.WriteString("\n  " + printable(strings.TrimRight(line, "\r\n")))
	}
	return "; it said last:" + b.String()
}

// machineOf finds the machine that a process runs.
func machineOf(ctx context.Context, pid int) (control.Client, control.Status, error) {
	root, err := control.Root()
	if err != nil {
		return control.Client{}, control.Status{}, err
	}
	clients, err := control.List(root)
	if err != nil {
		return control.Client{}, control.Status{}, err
	}
	for _, client := range clients {
		// One that does not answer is not asked for long: it may be another one that stands still.
		soon, cancel := context.WithTimeout(ctx, answerLimit)
		status, err := client.Status(soon)
		cancel()
		if err == nil && status.PID == pid {
			return client, status, nil
		}
	}
	return control.Client{}, control.Status{}, fmt.Errorf("the machine of process %d: %w", pid, control.ErrNoMachine)
}
