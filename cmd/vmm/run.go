package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/config/vmx"
	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/internal/footprint"
	"github.com/sharevm/vmm/internal/size"
	"github.com/sharevm/vmm/internal/spool"
	"github.com/sharevm/vmm/internal/terminal"
	"github.com/sharevm/vmm/machine"
	"github.com/sharevm/vmm/machine/journal"
	"github.com/sharevm/vmm/vmm/host"
	"github.com/sharevm/vmm/vmm/kvm"
	"github.com/sharevm/vmm/vmm/vcpu"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// runFlags are the options of vmm run.
type runFlags struct {
	mem        string
	cpus       int
	net        string
	publish    []string
	hostAccess []string
	netAllow   []string
	lan        bool
	tftp       string // folder
	bootFile   string
	limits     []string
	appendTo   string
	discard    bool
	keep       bool
	from       string
	cold       bool
	timeline   bool
	noReboot   bool
	hugePages  bool
	nested     string
	ctrlC      string
	noSandbox  bool
	anyKVM     bool
	noLog      bool
	link       bool   // run for a session, at whose link this process finds a socket
	beside     bool   // run beside another like it
	twin       bool   // run beside another like it, for a snapshot
	rehearse   string // folder of a snapshot to find out of which pages are needed first
	instant    bool
	forTwin    []string // the options that hold for a twin, too
	adopting   bool
	firmware   string // folder
	firmLog    string // file
	soundFile  string
	allow      vmx.Options
	screen     screenFlags
}

func newRun() *cobra.Command {
	var fl runFlags
	c := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a machine, its console on this terminal",
		Long: `Runs the machine that FILE, a .vmx, describes, from its own disks, until it is powered off. Around a bare disk image (.vhd, .vhdx, .vmdk,
.vdi, .qcow2, .raw, .img) or a CD-ROM (.iso) a machine is made up that suits the system on it, and described in two lines.

The console is on this terminal. Ctrl-] begins a command (Ctrl-] ? lists them). Ctrl-C presses the power button, a second
Ctrl-C powers off at once; --ctrl-c=guest leaves it to the guest. Exits with status 0 when the machine was powered off,
3 when this host's KVM cannot run it.`,
		Example: `  vmm run chromeos.vmx
  vmm run --mem 2G --cpus 2 --publish 8080:80 web.vmx
  vmm run --snapshot chromeos.vmx          what it writes is forgotten
  vmm run --keep windows.vhdx              what it writes is kept beside the disk, which stays as it is
  vmm run debian.iso
  vmm run --snapshot windows.vhdx          try it and change nothing
  vmm run --tftp boot --boot-file boot.ipxe new.vmx     boot from the network
  vmm run --web windows.vmx                its screen in a browser
  vmm run --window windows.vmx             its screen in a window
  vmm run --vnc 0.0.0.0 --vnc-tls --vnc-password FILE windows.vmx
  vmm run --screen windows.vmx             on this computer's own screen, without a desktop
  vmm run --nested chromeos.vmx            on a host without hardware virtualisation`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeRunnable,
		RunE: func(c *cobra.Command, args []string) error {
			return fl.run(c, args[0])
		},
	}
	fl.add(c.Flags())
	return c
}

// add adds the options to a set.
func (fl *runFlags) add(f *pflag.FlagSet) {
	f.StringVar(&fl.mem, "mem", "", "`SIZE` of the guest's memory instead of the .vmx's")
	f.IntVar(&fl.cpus, "cpus", 0, "`NUMBER` of virtual CPUs instead of the .vmx's")
	f.StringVar(&fl.net, "net", "", "`HOW` the network cards are connected instead of the .vmx's way: user, tap=NAME or none")
	f.StringArrayVar(&fl.publish, "publish", nil, "forward `[ADDRESS:]HOST:GUEST[/udp]` to the guest; loopback unless an address is given")
	f.StringArrayVar(&fl.hostAccess, "host-access", nil, "let the guest reach `PORT` of this host's loopback at its gateway, or all")
	f.StringArrayVar(&fl.netAllow, "net-allow", nil, "let the guest reach `PLACES` alone: example.org:443,*.debian.org,192.0.2.0/24; instead of the .vmx's list")
	f.BoolVar(&fl.lan, "lan", false, "let the guest reach private addresses, those of this host's own network")
	f.StringVar(&fl.tftp, "tftp", "", "let the guest read the files in `FOLDER` by TFTP at its gateway")
	f.StringVar(&fl.bootFile, "boot-file", "", "boot from the network: `NAME` is a file by TFTP or a URL, such as a script for iPXE")
	f.StringArrayVar(&fl.limits, "limit", nil, "bound what the machine takes: `NAME=VALUE`, as with vmm limit")
	f.StringVar(&fl.appendTo, "append", "", "more `WORDS` for the kernel command line")
	f.BoolVar(&fl.discard, "snapshot", false, "forget at the end what the guest writes")
	f.BoolVar(&fl.keep, "keep", false, "keep what the guest writes in overlays beside its disks, which stay as they are, also of a machine that forgets it otherwise")
	f.StringVar(&fl.from, "from", "", "go on from the snapshot `NAME` (vmm snapshot); what the guest writes is forgotten at the end")
	f.BoolVar(&fl.cold, "cold", false, "start anew, even if the machine is suspended, or has a snapshot for instant starts")
	f.BoolVar(&fl.instant, "instant", false, "start in a blink, from a snapshot that is made in the background when there is none (vmm instant); what the guest writes is forgotten at the end")
	f.BoolVar(&fl.timeline, "timeline", false, "print on standard error where the boot time went, when the guest says that it is ready or else at the end")
	f.BoolVar(&fl.noReboot, "no-reboot", false, "end where the guest would start anew")
	f.BoolVar(&fl.hugePages, "hugepages", false, "take the guest's memory from the host's reserved 2 MiB pages (vm.nr_hugepages)")
	f.StringVar(&fl.nested, "nested", "no", "run in the nested host: yes, no or auto (where KVM cannot run the machine); snapshots for instant starts (vmm instant) lie outside of it")
	f.Lookup("nested").NoOptDefVal = "yes"
	f.StringVar(&fl.ctrlC, "ctrl-c", "button", "who gets Ctrl-C: the power button or the guest")
	f.StringVar(&fl.firmware, "firmware", os.Getenv("VMM_FIRMWARE"), "`FOLDER` with SeaBIOS and OVMF that are preferred to Debian's, under the same names; $VMM_FIRMWARE")
	f.StringVar(&fl.firmLog, "firmware-log", "", "write to `FILE` what the firmware tells about its doings, for debugging")
	f.StringVar(&fl.soundFile, "sound-file", "", "write what the machine plays to `FILE` (WAVE), for tests, instead of playing it")
	fl.screen.add(f)
	f.BoolVar(&fl.adopting, "adopt", false, "have the Windows on the first disk load the driver of its controller, by a change in a new overlay beside the disk")
	f.BoolVar(&fl.noSandbox, "no-sandbox", false, "let the machine's process do all that its user may, for debugging")
	f.BoolVar(&fl.anyKVM, "any-kvm", false, "use this host's KVM even if it runs no ordinary guests, for programs made for it")
	f.BoolVar(&fl.noLog, "no-log", false, "keep nothing of what the machine says (vmm logs)")
	f.BoolVar(&fl.allow.AllowOutside, "allow-outside", false, "the .vmx may name files outside its folder")
	f.BoolVar(&fl.allow.AllowHostDevices, "allow-host-devices", false, "the .vmx may name devices of the host")
	f.BoolVar(&fl.allow.AllowHostAccess, "allow-host-access", false, "the .vmx may give the guest this host's network services")
	f.BoolVar(&fl.allow.DiscardState, "discard-state", false, "forget a session that VMware suspended")
	f.BoolVar(&fl.allow.IgnoreLocks, "ignore-locks", false, "VMware's .lck folders are left over from a crash")
	f.BoolVar(&fl.link, "link", false, "show the machine to the session that has started this program")
	f.BoolVar(&fl.beside, "beside", false, "run beside another machine like it, and leave to that what only one can have")
	f.BoolVar(&fl.twin, "twin", false, "run beside another machine like it, for a snapshot")
	f.StringVar(&fl.rehearse, "rehearse", "", "go on from the snapshot for instant starts in `FOLDER`, to note there which memory is needed first")
	for _, name := range []string{"link", "beside", "twin", "rehearse", "sound-file", "any-kvm"} {
		_ = f.MarkHidden(name) // cannot fail: it is there
	}
}

func (fl *runFlags) run(c *cobra.Command, file string) error {
	go machine.WidenDescriptors()
	// What a guest's doings print must not stop its processors when nobody takes it.
	stderr := spool.New(os.Stderr)
	defer stderr.Close()
	book := journal.New()
	defer book.Close()
	messages := io.MultiWriter(stderr, book.Source(journal.Host))
	log := loggerTo(messages, c)
	cfg, err := fl.load(c.Context(), file, messages, log)
	if err != nil {
		return err
	}
	allowed, err := fl.override(cfg)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	direct := fl.anyKVM
	if !direct {
		direct, err = chooseHost(fl.nested)
	}
	if err != nil || !direct {
		// What is wrong with the machine itself is said first, and not from inside the nested host.
		if err := machine.Preflight(cfg, fl.firmware); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if fl.screen.own != "" {
		if !direct {
			return &exitError{exitUsage, errOwnNested}
		}
		return fl.runOnOwn(c, file, cfg, messages, log)
	}
	if !direct {
		return fl.runNested(c.Context(), file, cfg)
	}
	if file, err = filepath.Abs(file); err != nil {
		return err
	}
	fl.forTwin = twinOptions(c.Flags())
	err = fl.runHere(c.Context(), file, cfg, allowed, book, messages, log)
	if err != nil { // on the terminal it is shown by whoever gets it
		fmt.Fprintln(book.Source(journal.Host), "ended:", err)
	} else {
		fmt.Fprintln(book.Source(journal.Host), "ended")
	}
	return err
}

// load reads a .vmx, or makes up a machine around a bare disk image and says so.
func (fl *runFlags) load(ctx context.Context, file string, messages io.Writer, log *slog.Logger) (*config.Machine, error) {
	if isBare(file) {
		cfg, says, err := makeUp(ctx, file)
		if err == nil && os.Getenv("VMM_NESTED") == "" { // it was said outside
			fmt.Fprintln(messages, strings.Join(says, "\n"))
		}
		return cfg, err
	}
	cfg, _, findings, err := vmx.Load(file, fl.allow)
	if err != nil {
		return nil, err
	}
	for _, f := range findings {
		log.Info(f.Reason, "key", f.Key, "line", f.Line)
	}
	return cfg, nil
}

// override applies what the command line says over the .vmx, and returns the host's ports that the guest may reach.
func (fl *runFlags) override(cfg *config.Machine) ([]uint16, error) {
	if fl.mem != "" {
		n, err := size.Parse(fl.mem)
		if err != nil {
			return nil, fmt.Errorf("--mem: %w", err)
		}
		cfg.Memory = n
	}
	if fl.cpus != 0 {
		cfg.CPU.Count, cfg.CPU.CoresPerSocket = fl.cpus, fl.cpus
	}
	if fl.appendTo != "" {
		cfg.Boot.Cmdline = strings.TrimSpace(cfg.Boot.Cmdline + " " + fl.appendTo)
	}
	if fl.ctrlC != "button" && fl.ctrlC != "guest" {
		return nil, fmt.Errorf("--ctrl-c %q: want button or guest", fl.ctrlC)
	}
	if !slices.Contains([]string{"yes", "true", "no", "false", "auto"}, fl.nested) {
		return nil, fmt.Errorf("--nested %q: want yes, no or auto", fl.nested)
	}
	if err := fl.overrideNet(cfg); err != nil {
		return nil, err
	}
	if err := fl.screen.override(cfg); err != nil {
		return nil, err
	}
	if fl.keep {
		if fl.discard || fl.instant {
			return nil, errors.New("--keep keeps what --snapshot and --instant forget: leave one out")
		}
		cfg.Run.Instant, cfg.Run.Overlay = false, config.OverlayKeep
		if !slices.ContainsFunc(cfg.Disks, func(d config.Disk) bool { return writtenTo(cfg, &d) }) {
			return nil, fmt.Errorf("--keep: %s writes to no disk; vmm suspend keeps it as it runs, and the next vmm run goes on there", cfg.Name)
		}
	}
	if fl.instant {
		cfg.Run.Instant, cfg.Run.Overlay = true, config.OverlayDisposable
	}
	if fl.twin {
		cfg.Name += " for a snapshot"
	}
	if fl.beside || fl.twin {
		setBeside(cfg)
		fl.screen = screenFlags{}
	}
	if fl.rehearse != "" {
		setApart(cfg)
		fl.hostAccess = nil
	}
	if err := setLimits(&cfg.Limits, fl.limits); err != nil {
		return nil, fmt.Errorf("--limit: %w", err)
	}
	var ports []uint16
	for _, p := range fl.hostAccess {
		if p == "all" {
			for i := range cfg.NICs {
				cfg.NICs[i].HostAccess = true
			}
			continue
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--host-access %q: want a port, or all", p)
		}
		ports = append(ports, uint16(n))
	}
	return ports, cfg.Validate() // as the .vmx has it, the machine was valid
}

func (fl *runFlags) overrideNet(cfg *config.Machine) error {
	if (fl.net != "" || fl.publish != nil || fl.hostAccess != nil) && len(cfg.NICs) == 0 {
		return errors.New("the machine has no network card (ethernet0.present)")
	}
	how, name, _ := strings.Cut(fl.net, "=")
	conn := map[string]config.Connection{"": "", "user": config.ConnUser, "none": config.ConnNone, "tap": config.ConnTap}
	to, ok := conn[how]
	if !ok || (how == "tap") != (name != "") {
		return fmt.Errorf("--net %q: want user, tap=NAME or none", fl.net)
	}
	for i := range cfg.NICs {
		n := &cfg.NICs[i]
		if to != "" {
			n.Connection, n.Interface = to, name
		}
		if n.Connection != config.ConnUser {
			n.Publish, n.Allow, n.LAN = nil, nil, false
		}
		if n.Connection != config.ConnUser && n.Connection != config.ConnHostOnly {
			n.Boot = config.NetBoot{}
		}
	}
	if err := fl.overrideNetBoot(cfg); err != nil {
		return err
	}
	if err := fl.overrideRules(cfg); err != nil {
		return err
	}
	for _, s := range fl.publish {
		f, err := config.ParseForward(s)
		if err != nil {
			return fmt.Errorf("--publish: %w", err)
		}
		if cfg.NICs[0].Connection != config.ConnUser {
			return errors.New("--publish needs the user network (--net user)")
		}
		cfg.NICs[0].Publish = append(cfg.NICs[0].Publish, f)
	}
	return nil
}

// chooseHost says whether to run on this host's own KVM; nested is what --nested says: yes, no or auto.
func chooseHost(nested string) (bool, error) {
	if nested == "yes" || nested == "true" {
		return false, nil
	}
	sys, err := kvm.Open("")
	if err != nil {
		if nested == "auto" {
			return false, nil
		}
		return false, &exitError{exitNoKVM, fmt.Errorf("%w; or use --nested (slower)", err)}
	}
	defer sys.Close()
	kind, err := host.Classify(sys)
	switch {
	case err != nil:
		return false, &exitError{exitNoKVM, err}
	case kind == host.Ordinary:
		return true, nil
	case nested == "auto":
		return false, nil
	}
	return false, &exitError{exitNoKVM, errors.New("/dev/kvm on this host is paravirtual and runs no ordinary guests; use --nested, which emulates a machine with real KVM (slower)")}
}

// runNested runs the same command in the nested host, with the published ports led through.
func (fl *runFlags) runNested(ctx context.Context, file string, cfg *config.Machine) error {
	if os.Getenv("VMM_NESTED") != "" {
		return &exitError{exitNoKVM, errors.New("already in the nested host, and KVM does not work here")}
	}
	c := nested.Config{Shares: []string{cfg.Folder}}
	var lost []string
	c.Publish, lost = throughNested(cfg)
	for _, l := range lost {
		fmt.Fprintln(os.Stderr, "vmm:", l)
	}
	if err := fl.screen.lead(&c, cfg.Display.VNC); err != nil {
		return err
	}
	if cfg.CPU.Count > 1 {
		c.CPUs = 2
	}
	c.MemoryMiB = int(cfg.Memory>>20) + 512
	if !fl.cold {
		shareInstant(&c, []*config.Machine{cfg}, false)
	}
	return nestedSelf(ctx, withoutNested(os.Args[1:]), c)
}

// settled is how long after the start a guest's kernel has most of its boot behind it; what only the start needed is then given back for
// the first time.
const settled = time.Second

// runHere runs the machine on this host's KVM.
func (fl *runFlags) runHere(ctx context.Context, file string, cfg *config.Machine, allowed []uint16, book *journal.Journal, messages io.Writer, log *slog.Logger) (err error) {
	publishInNested(cfg)
	timeline := newTimeline()
	timeline.Add("command line and .vmx read")
	outliveReaders()
	process := footprint.Limit()
	leaveProcessor(cfg.CPU.Count)
	sys, err := kvm.Open("")
	if err != nil {
		return &exitError{exitNoKVM, err}
	}
	defer sys.Close()
	// Until the disks are closed: an impatient Ctrl-C must not end the program in the midst of that.
	interrupts := make(chan os.Signal, 4)
	if !signal.Ignored(os.Interrupt) {
		signal.Notify(interrupts, os.Interrupt)
	}
	defer signal.Stop(interrupts)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ui := &consoleUI{messages: messages, timeline: timeline, guestInterrupt: fl.ctrlC == "guest", powerOff: stop}
	options := machine.Options{
		Config: cfg, File: file, System: sys, Out: os.Stdout, Discard: fl.discard || fl.from != "", AllowHostPorts: allowed, NoReboot: fl.noReboot, HugePages: fl.hugePages,
		FirmwareFolder: fl.firmware, Timeline: timeline, Log: log,
	}
	if !fl.noLog {
		options.Journal = book
	}
	if fl.firmLog != "" {
		out, err := os.Create(fl.firmLog)
		if err != nil {
			return err
		}
		firmwareLog := spool.New(out)
		defer func() { err = errors.Join(err, firmwareLog.Close(), out.Close()) }()
		options.FirmwareLog = firmwareLog
	}
	if err := keepApart(ctx, file, cfg, options.Discard); err != nil {
		return err
	}
	options.From, err = openFrom(file, fl.from, fl.cold, func(err error) { log.Warn("the machine was suspended and starts anew", "why", err) })
	if err != nil {
		return err
	}
	if fl.from != "" {
		dir, err := snapshotAt(file, fl.from)
		if err == nil {
			err = useFrozen(cfg, dir)
		}
		if err != nil {
			return errors.Join(err, options.From.Close())
		}
	}
	options.Clone = fl.from != ""
	if fl.rehearse != "" {
		if options.From, err = machine.OpenSnapshot(fl.rehearse); err != nil {
			return err
		}
		options.Clone, options.Rehearse = true, true
	}
	toSession := newSessionEnd(cfg)
	instantly := fl.fromInstant(file, cfg, &options, messages, toSession.fallBack)
	defer instantly.close()
	if options.From == nil { // it begins at its firmware
		if err := fl.adopt(ctx, cfg, messages, log); err != nil {
			return err
		}
	}
	options.OnReady = func() {
		toSession.isReady()
		if fl.timeline {
			ui.showTimeline()
		}
	}
	typed, typing := io.Pipe()
	options.In = typed
	if options.Sound, err = openSound(cfg, fl.soundFile, log); err != nil {
		return err
	}
	m, err := machine.New(options)
	if err != nil && options.Fallback != nil {
		options.Fallback(err)
		options.From, options.Fallback = nil, nil
		m, err = machine.New(options)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	ui.machine = m
	if fl.link {
		hide, err := toSession.show(m, cfg, options.From != nil)
		if err != nil {
			return err
		}
		defer hide()
	}
	defer instantly.attend(toSession, m)()
	id, stopControl := serveControl(cfg.Name, m, log)
	defer stopControl()
	if !fl.noLog {
		keepJournal(book, id, log)
	}
	fmt.Fprintf(book.Source(journal.Host), "started: process %d, %s\n", os.Getpid(), file)
	closed := func() { // the user's wish as with Ctrl-C
		select {
		case interrupts <- os.Interrupt:
		default:
		}
	}
	hide, err := fl.screen.serve(m, cfg, closed, messages, log)
	if err != nil {
		return err
	}
	defer hide()
	term, err := terminal.Raw(os.Stdin, m.Resize)
	if err != nil {
		return err
	}
	defer term.Restore()
	ui.raw = term != nil
	go ui.pump(os.Stdin, typing)
	go func() {
		for range interrupts {
			ui.do(terminal.Interrupt)
		}
	}()
	defer process.Attend(settled)()
	if err := fl.confine(m, log); err != nil {
		return err
	}
	err = m.Run(ctx)
	term.Restore()
	if fl.timeline && !ui.timesShown() {
		timeline.WriteText(messages)
	}
	var crash *vcpu.Error
	if errors.As(err, &crash) {
		fmt.Fprintln(messages, crash.State)
	}
	return err
}
