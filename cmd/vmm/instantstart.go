package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/machine/instant"
)

// starts are the instant starts of a machine that runs in this process. Nil are those of a machine that has none.
type starts struct {
	spoiler *os.File // of the snapshot that it goes on from; nil without
	maker   *maker   // of the next one; nil where somebody else sees to that, or one is there
}

func (s *starts) close() {
	if s == nil {
		return
	}
	if s.spoiler != nil {
		s.spoiler.Close()
	}
	s.maker.close()
}

// fromInstant has a machine go on from its snapshot for instant starts if it is to and can, and says so where it cannot. fellBack is called when the machine has begun anew
// after all. It is called before the sandbox is entered.
func (fl *runFlags) fromInstant(file string, cfg *config.Machine, o *machine.Options, messages io.Writer, fellBack func()) *starts {
	if !cfg.Run.Instant {
		return nil
	}
	o.Discard = true // EFI variables too
	if fl.cold || fl.from != "" || o.From != nil {
		return nil
	}
	cannot := func(err error) {
		fmt.Fprintf(messages, "vmm: %s starts anew: its snapshot for instant starts cannot be used: %v\n", cfg.Name, err)
	}
	store, err := instant.Open()
	if err != nil {
		cannot(err)
		return nil
	}
	if !store.Lasts() {
		return nil
	}
	place, err := store.Place(file, cfg)
	if err != nil {
		cannot(err)
		return nil
	}
	s := &starts{}
	from, err := openInstant(place)
	if err == nil {
		if s.spoiler, err = place.Spoiler(); err != nil {
			from.Close()
		}
	}
	switch {
	case err == nil:
		place.Used()
		o.From, o.Clone = from, true
		o.Fallback = func(why error) {
			_ = instant.Spoil(s.spoiler) // without that it is found out again next time
			cannot(why)
			fellBack()
		}
	case !errors.Is(err, instant.ErrNone):
		cannot(err)
		_ = place.Remove() // what is left of it is found again next time
	}
	if !fl.link { // a session sees to that itself
		// Also where there is a snapshot: whether the machine can go on from it turns out when no process can be started any more.
		if s.maker, err = startMaker(file, fl.forTwin, os.Stderr); err != nil {
			cannot(err)
		}
	}
	return s
}

// attend has the next snapshot made once the machine is ready, until the returned function is called.
func (s *starts) attend(e *sessionEnd, m *machine.Machine) (stop func()) {
	if s == nil || s.maker == nil {
		return func() {}
	}
	var screen *display.Surface
	if screens := m.Screens(); len(screens) > 0 {
		screen = screens[0]
	}
	end := make(chan struct{})
	go func() {
		select {
		case <-m.Underway():
		case <-end:
			return
		}
		if s.spoiler != nil && !e.cold.Load() || e.waitReady(screen, end) { // one that goes on is ready
			s.maker.begin()
		}
	}()
	return func() { close(end) }
}

// shareInstant shows a nested host the snapshots for instant starts, as far as any of the machines that it is to run has some, and gives it memory for a twin.
func shareInstant(c *nested.Config, machines []*config.Machine, all bool) {
	var twin int64
	for _, m := range machines {
		if all || m.Run.Instant {
			twin = max(twin, twinNeeds(m))
		}
	}
	if twin == 0 {
		return
	}
	store, err := instant.Open()
	if err != nil {
		fmt.Fprintf(os.Stderr, "vmm: no instant starts: %v\n", err)
		return
	}
	c.Shares = append(c.Shares, store.Root())
	// Where the host has not as much, there are instant starts, but not from here a snapshot for them.
	if more := int(twin >> 20); availableMemory() == 0 || int64(c.MemoryMiB+more)<<20 < availableMemory() {
		c.MemoryMiB += more
	}
}

// openInstant opens the snapshot at a place, if it fits.
func openInstant(place *instant.Place) (*machine.Snapshot, error) {
	if err := place.Check(); err != nil {
		return nil, err
	}
	return machine.OpenSnapshot(place.Dir)
}

// maker is a process that makes a snapshot for instant starts. It ends with this one.
type maker struct {
	cmd  *exec.Cmd
	word io.WriteCloser
}

// startMaker starts vmm instant make, which waits for begin. What it prints goes to out.
func startMaker(file string, runOptions []string, out io.Writer) (*maker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	args := []string{"instant", "make", "--attended"}
	for _, o := range runOptions {
		args = append(args, "--run-option="+o)
	}
	m := &maker{cmd: exec.Command(self, append(args, file)...)}
	m.cmd.Stdout, m.cmd.Stderr = out, out
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the user's Ctrl-C is not for it
	if m.word, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the maker of snapshots: %w", err)
	}
	return m, nil
}

// begin has the maker begin.
func (m *maker) begin() {
	if m != nil {
		_, _ = m.word.Write([]byte{'\n'}) // one that is gone makes nothing
	}
}

// close ends the maker, whatever it has done so far.
func (m *maker) close() {
	if m != nil {
		_ = m.word.Close()
	}
}

// wait waits for the maker's end.
func (m *maker) wait() {
	if m != nil {
		_ = m.cmd.Wait() // it has said itself what was wrong
	}
}

// notForTwin are options of vmm run that are for the machine alone whose user sees it.
var notForTwin = map[string]bool{
	"nested": true, "from": true, "cold": true, "link": true, "twin": true, "rehearse": true, "beside": true, "verbose": true, "web": true, "vnc": true, "vnc-password": true, "window": true, "fullscreen": true,
	"timeline": true, "firmware-log": true, "sound-file": true, "ctrl-c": true, "publish": true,
}

// twinOptions are the options that were given and hold for a twin, too.
func twinOptions(f *pflag.FlagSet) (options []string) {
	f.Visit(func(f *pflag.Flag) {
		if notForTwin[f.Name] {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			options = append(options, "--"+f.Name+"="+v)
		}
	})
	return options
}
