package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/sessionfile"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/internal/spool"
	"github.com/sharevm/vmm/session"
)

// sessionFlags are the options of vmm session.
type sessionFlags struct {
	hotkey  string
	end     string
	nested  string
	screen  screenFlags
	run     []string
	plan    []sessionfile.Machine // of a session file, by the order of machines; nil without one
	kiosk   bool
	keys    string       // that a kiosk's users have
	without session.Keys // that users do not have
}

func newSession() *cobra.Command {
	var fl sessionFlags
	c := &cobra.Command{
		Use:   "session FILE.vmx... | FILE.session",
		Short: "Run several machines on one screen, with a hotkey that switches between them",
		Long: `Runs machines side by side on one screen. The first is in front; the others start at once behind it, with less of the processors and disks where the first wants
them. The hotkey (F4) turns to the next machine at once; two taps in a row send it to the guest. Ctrl-Alt-Left and Ctrl-Alt-Right turn too, and Ctrl-Alt-Up shows
all machines at once: arrows and Enter, a number or a click choose one. Ctrl-Alt-N opens another window of the machine in front, if that forgets what it writes (vmm session
open). The machine in front has keyboard and pointer.

A machine with vmm.instant in its .vmx starts from a snapshot, at once, from the second time on (vmm instant).

Each machine is a process of its own. When one ends, the others stay; a machine whose writes are thrown away starts again by itself, others when you press Enter. The session ends
when all are off, or by Ctrl-C: then their power buttons are pressed, and after half a minute their power is taken away; a second Ctrl-C does that at once. With --end suspend
machines are saved beside their .vmx instead, as vmm suspend does, and go on from there in the next session.
` + sessionFileHelp,
		Example: `  vmm session --web chromeos.vmx windows.vmx          on this host's browser, at the address that is printed
  vmm session --window chromeos.vmx windows.vmx       in a window
  vmm session --vnc chromeos.vmx windows.vmx          for a VNC viewer
  vmm session --screen chromeos.vmx windows.vmx       on this computer's own screen, without a desktop
  vmm session --kiosk chromeos.vmx windows.vmx        the same, with no way out but F4
  vmm session --end suspend --web chromeos.vmx windows.vmx
  vmm session --hotkey scrolllock --web a.vmx b.vmx
  vmm session kiosk.session                           as the file says`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeVMXs,
		RunE:              func(c *cobra.Command, args []string) error { return fl.start(c, args) },
	}
	f := c.Flags()
	f.StringVar(&fl.hotkey, "hotkey", "f4", "`KEY` that turns to the next machine")
	f.StringVar(&fl.end, "end", "poweroff", "`HOW` machines end with the session: poweroff or suspend")
	_ = c.RegisterFlagCompletionFunc("end", cobra.FixedCompletions([]string{"poweroff", "suspend"}, cobra.ShellCompDirectiveNoFileComp)) // cannot fail: the flag is there
	f.StringArrayVar(&fl.run, "run-option", nil, "an `OPTION` of vmm run for all machines, such as --cold")
	f.StringVar(&fl.nested, "nested", "no", "run in the nested host: yes, no or auto (where KVM cannot run machines; slower); snapshots for instant starts (vmm instant) lie outside of it")
	f.Lookup("nested").NoOptDefVal = "yes"
	fl.screen.add(f)
	fl.addKiosk(f)
	c.AddCommand(newSessionOpen())
	return c
}

// completeVMXs completes any number of .vmx files.
func completeVMXs(c *cobra.Command, _ []string, to string) ([]string, cobra.ShellCompDirective) {
	types, how := completeVMX(c, nil, to)
	return append(types, strings.TrimPrefix(sessionfile.Suffix, ".")), how
}

func (fl *sessionFlags) start(c *cobra.Command, args []string) error {
	files, err := fl.takeFile(c, args)
	if err != nil {
		return err
	}
	hotkey, err := input.Chord(fl.hotkey)
	if err == nil && len(hotkey) != 1 {
		err = errors.New("it must be one key")
	}
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--hotkey %q: %w", fl.hotkey, err)}
	}
	if fl.end != "poweroff" && fl.end != "suspend" {
		return &exitError{exitUsage, fmt.Errorf("--end %q: want poweroff or suspend", fl.end)}
	}
	v := config.VNC{}
	if err := fl.screen.apply(&v); err != nil {
		return &exitError{exitUsage, err}
	}
	if err := fl.applyKiosk(); err != nil {
		return &exitError{exitUsage, err}
	}
	if !fl.screen.somewhere(v) {
		return &exitError{exitUsage, errors.New("where is the session to be shown? --window, --fullscreen, --screen, --web, --vnc")}
	}
	machines := make([]*config.Machine, len(files))
	for i, file := range files {
		// The machine's own process says what else there is to say of the file.
		if machines[i], _, _, err = vmx.Load(file, vmx.Options{AllowOutside: true}); err != nil {
			return err
		}
	}
	direct, err := chooseHost(fl.nested)
	if err != nil {
		return err
	}
	if !direct && fl.screen.own != "" {
		return &exitError{exitUsage, errOwnNested}
	}
	if !direct {
		return fl.nest(c.Context(), machines, v)
	}
	messages := spool.New(os.Stderr)
	defer messages.Close()
	return fl.keep(c.Context(), files, machines, hotkey[0], v, messages, loggerTo(messages, c))
}

// nest runs the same command in the nested host.
func (fl *sessionFlags) nest(ctx context.Context, machines []*config.Machine, v config.VNC) error {
	c := nested.Config{CPUs: 2, MemoryMiB: 512}
	if err := fl.screen.lead(&c, v); err != nil {
		return err
	}
	for _, m := range machines {
		c.Shares = append(c.Shares, m.Folder)
		c.MemoryMiB += int(m.Memory>>20) + 64
	}
	if !slices.Contains(fl.run, "--cold") {
		shareInstant(&c, machines, slices.Contains(fl.run, "--instant"))
	}
	return nestedSelf(ctx, withoutNested(os.Args[1:]), c)
}

// powerOffPatience is how long guests may take to power off when the session ends.
const powerOffPatience = 30 * time.Second

func (fl *sessionFlags) keep(ctx context.Context, files []string, machines []*config.Machine, hotkey input.Code, v config.VNC, messages io.Writer, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	var lines sync.Mutex
	makers := makers{log: log, out: func(machine int) io.Writer {
		return &prefixed{mu: &lines, to: messages, prefix: machines[machine].Name + ": "}
	}}
	defer makers.close()
	specs := make([]session.Spec, len(files))
	for i, m := range machines {
		file, err := filepath.Abs(files[i])
		if err != nil {
			return err
		}
		in, out := m.SharesClipboard()
		specs[i] = session.Spec{
			Clip: session.Clip{In: in, Out: out},
			Name: m.Name, Program: self, Args: append(append([]string{"run", "--link"}, fl.run...), file), Disposable: m.Run.Restart || m.Run.Overlay == config.OverlayDisposable,
		}
		fl.planned(i, &specs[i])
		if fl.kiosk && specs[i].Restart == "" { // a session file may know better
			specs[i].Restart, specs[i].Respawn = session.RestartAlways, true
		}
		makers.plan(i, m, &specs[i])
	}
	k := session.NewKeeper(session.Config{Hotkey: hotkey, Without: fl.without, Ready: func(machine int) { go makers.begin(machine) }, Log: log}, specs, func(name string) io.Writer {
		return &prefixed{mu: &lines, to: messages, prefix: name + ": "}
	})
	defer k.Close()
	k.Suspend = suspendProcess
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	closed := func() { // the user's wish as with Ctrl-C
		select {
		case signals <- os.Interrupt:
		default:
		}
	}
	if door, err := openDoor(k); err != nil {
		log.Warn("vmm session open does not find this session", "error", err)
	} else {
		defer door.Close()
	}
	hide, err := fl.screen.show(k.Frontend("vmm session"), v, closed, messages, log)
	if err != nil {
		return err
	}
	defer hide()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	hurry := make(chan struct{})
	go func() {
		<-signals
		stop()
		<-signals
		close(hurry)
	}()
	return k.Run(ctx, powerOffPatience, hurry)
}

// prefixed writes lines with the name of the machine that they come from.
type prefixed struct {
	mu     *sync.Mutex
	to     io.Writer
	prefix string
	rest   []byte // of a line whose end is still to come
}

// maxLine bounds what is kept of a line.
const maxLine = 4096

func (p *prefixed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(b)
	for {
		line, after, found := bytes.Cut(b, []byte("\n"))
		p.rest = append(p.rest, line[:min(len(line), maxLine-min(len(p.rest), maxLine))]...)
		if !found {
			return n, nil
		}
		if _, err := fmt.Fprintf(p.to, "%s%s\n", p.prefix, bytes.TrimRight(p.rest, "\r")); err != nil {
			return 0, err
		}
		p.rest, b = p.rest[:0], after
	}
}
