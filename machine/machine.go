package machine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sharevm/vmm/audio"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/acpipm"
	"github.com/sharevm/vmm/devices/tpm/swtpm"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/volatile"
	"github.com/sharevm/vmm/display"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/journal"
	"github.com/sharevm/vmm/machine/limits"
	"github.com/sharevm/vmm/machine/sandbox"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/usernet"
	"github.com/sharevm/vmm/vmm/kvm"
)

// Options say what to run, and in what surroundings.
type Options struct {
	Config *config.Machine
	// File is the path of the .vmx, for those who ask what runs; it may be empty.
	File string
	// System is the open KVM device. The machine does not close it.
	System *kvm.System
	// In and Out are the user's terminal. Either may be nil.
	In  io.Reader
	Out io.Writer
	// Journal takes what the guest prints, line by line; nil keeps nothing.
	Journal *journal.Journal
	// FirmwareFolder holds firmware that is preferred to Debian's, under the same names; "" for none.
	FirmwareFolder string
	// FirmwareLog takes what firmware prints on its debug console, a bounded amount. It must not block. nil spares the guest printing it.
	FirmwareLog io.Writer
	// Sound is what the machine's sound card plays on; nil is silent. New takes it over.
	Sound audio.Backend
	// Discard sends all writes to temporary overlays that vanish at the end.
	Discard bool
	// AllowHostPorts are ports of the host's loopback that the guest may reach at its gateway.
	AllowHostPorts []uint16
	// HugePages takes RAM from the host's reserved pages of 2 MiB (memory.HugeTLB).
	HugePages bool
	// From is what the machine goes on from, in place of its first power-on; nil for none. New takes it over.
	From *Snapshot
	// Clone says that others go on from the same snapshot: the addresses that the machine makes up are its own then, not those of the one that was saved.
	Clone bool
	// Rehearse says that the machine goes on from From to find out which pages others will need first, and is of no other use: they come from the disk one by one, and are
	// noted in the snapshot's folder when it is powered off.
	Rehearse bool
	// Fallback is called when the machine cannot go on from From. It forgets what it had written to disks whose writes are thrown away, and is powered on instead. nil makes
	// that an error of Run.
	Fallback func(error)
	// NoReboot ends the run where the guest would start anew.
	NoReboot bool
	Timeline *Timeline // nil records nothing
	// OnReady is called once, when a guest that knows MarkPort first says that it is ready, before its next instruction. It
	// may be nil, and must not block: a vCPU waits for it.
	OnReady func()
	// Log takes what goes wrong, and nothing a guest can flood it with: repeated lines are dropped. vCPUs wait for its writer, which
	// therefore must not block for long. nil is silent.
	Log *slog.Logger
}

// Machine is a virtual machine from its first power-on to its last power-off.
type Machine struct {
	opt   Options
	cfg   *config.Machine
	log   *slog.Logger
	disks []disk.Image // by index in cfg.Disks; nil for an empty drive
	links []network.Link
	// serials are what serial ports lead to, by their numbers.
	serials [config.MaxSerials]*serialFile
	cables  cables
	from    *Snapshot // what the next board goes on from, until it has been made
	// rehearsed is set at the end of a rehearsal.
	rehearsed atomic.Bool
	// underway is closed by begin, when the guest runs that From was of.
	underway chan struct{}
	begin    func()
	kernel   *os.File
	initrd   *os.File // nil for none
	// authorities are what the browser machine trusts, too (vmm.kiosk.ca): PEM, or nil.
	authorities []byte
	// firmware is nil for a machine with a kernel.
	firmware *romware
	tpm      *swtpm.TPM // nil for none
	// resolvers is the file that names those whom the user networks ask for names.
	resolvers *sandbox.File
	console   *userConsole
	marks     *markPort
	input     input.Hub
	screens   []*display.Surface
	clipboard frontend.Clipboard
	sound     *audio.Output
	remote    remote
	macs      []config.MAC
	uuid      config.UUID
	limits    *limits.Set
	cpu       *limits.CPU
	started   time.Time
	// By index in cfg.Disks and cfg.NICs: what their work passes.
	diskGates, nicGates []gates
	// physBits is the width of the guest's physical addresses.
	physBits int

	// pausing is held while another process pauses or resumes. It is taken before turn.
	pausing sync.Mutex
	// turn is held while a board is paused, resumed or taken down, which may last as long as the slowest disk takes to answer.
	// It is taken before mu.
	turn sync.Mutex

	mu     sync.Mutex
	board  *board    // nil while powered off
	pauses int       // in force; they outlive a power cycle
	calls  chan call // to a machine that sleeps; nil while it does not
	off    bool      // powered off for good: what restarts does not start any more
	stuck  bool      // a board could not be taken down: what it holds is not to be touched
	// reclaimed is what the guest is asked to give up of its memory, in bytes.
	reclaimed uint64
	columns   uint16
	rows      uint16
}

// New opens what the machine works with, disks above all, and touches nothing of it yet. Close gives it back.
func New(o Options) (_ *Machine, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Log = limited(o.Log)
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if err := o.From.fits(o.Config); err != nil {
		return nil, err
	}
	if err := o.System.Require(); err != nil {
		return nil, err
	}
	supported, err := o.System.SupportedCPUID()
	if err != nil {
		return nil, err
	}
	m := &Machine{opt: o, from: o.From, cfg: o.Config, log: o.Log, console: newUserConsole(o.In, o.Out), marks: &markPort{timeline: o.Timeline, ready: o.OnReady}, physBits: hostPhysBits(supported), uuid: o.Config.UUID, resolvers: sandbox.NewFile(usernet.ResolvConf)}
	m.underway = make(chan struct{})
	m.begin = sync.OnceFunc(func() { close(m.underway) })
	if m.from == nil {
		m.begin()
	} else {
		m.input.Keep()
	}
	if m.uuid.IsZero() {
		_, _ = rand.Read(m.uuid[:])                                     // never fails
		m.uuid[7], m.uuid[8] = m.uuid[7]&0x0f|0x40, m.uuid[8]&0x3f|0x80 // random, RFC 9562 section 5.4, in SMBIOS's order of bytes
	}
	if o.Journal != nil {
		m.console.join(o.Journal.Source(journal.Guest), false)
	}
	m.remote = remote{turn: make(chan struct{}, 1), source: m.input.NewSource()}
	defer func() {
		if err != nil {
			_ = m.Close()
		}
	}()
	m.screens = newScreens(m.cfg)
	m.openSound()
	m.openLimits()
	for i := range m.cfg.Disks {
		d := &m.cfg.Disks[i]
		var img disk.Image
		if d.Path != "" && d.Connected {
			kept := o.From.kept(d.Address) // of such a disk alone writes were thrown away, and are again
			if img, err = openDisk(m.cfg, d, o.Discard || kept != "", kept, o.Log); err != nil {
				return nil, err
			}
		}
		m.disks = append(m.disks, img)
	}
	o.Timeline.Add("disks open")
	for i := range m.cfg.NICs {
		n := &m.cfg.NICs[i]
		l, err := openLink(m.resolvers, n, o.AllowHostPorts, o.Timeline.Add, o.Log)
		if err != nil {
			return nil, err
		}
		m.links = append(m.links, l)
		m.macs = append(m.macs, macOf(n))
	}
	if s := o.From; s != nil {
		if o.Clone || len(s.meta.Kept) > 0 { // a suspended machine goes on once
			s.working = openWorking(s.path(""))
		}
		if o.Rehearse {
			if err := s.working.rehearse(s.memory); err != nil {
				return nil, err
			}
		}
		if !o.Clone {
			m.uuid, m.macs = s.meta.UUID, s.meta.MACs
		}
	}
	o.Timeline.Add("network ready")
	if err := m.openSerials(); err != nil {
		return nil, err
	}
	if err := m.startTPM(); err != nil {
		return nil, err
	}
	if err := m.openPayload(); err != nil {
		return nil, err
	}
	return m, nil
}

// macOf is the card's address, made up where the configuration has none.
func macOf(n *config.NIC) config.MAC {
	if n.MAC != (config.MAC{}) {
		return n.MAC
	}
	var mac config.MAC
	_, _ = rand.Read(mac[:]) // never fails
	mac[0] = mac[0]&^1 | 2   // unicast, locally administered
	return mac
}

// Run powers the machine on, and returns when it has been powered off: by the guest, by PowerOff, or because ctx ended. A reboot by
// the guest is part of the run. The error says why a machine could not start or go on.
func (m *Machine) Run(ctx context.Context) error {
	var slept *sleep
	for {
		saved := m.from != nil
		b, err := m.powerOn(slept)
		if err != nil && saved && m.opt.Fallback != nil {
			if err = m.fallBack(err); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		on := time.Now()
		select {
		case <-b.verdict.done:
		case <-ctx.Done():
			b.verdict.decide(poweredOff, nil)
		}
		m.mu.Lock()
		m.board = nil
		m.mu.Unlock()
		var uptime time.Duration
		if b.verdict.what == suspended {
			if uptime, err = b.vm.Clock(); err != nil {
				m.log.Warn("the clock of a guest that sleeps begins anew", "error", err)
			}
		}
		if err := m.takeDown(b, answerLimit); err != nil {
			return errors.Join(b.verdict.err, fmt.Errorf("take the board down: %w", err))
		}
		slept = nil
		if b.verdict.what == failed && saved && m.opt.Fallback != nil && time.Since(on) < fallbackTime {
			if err := m.fallBack(b.verdict.err); err != nil {
				return err
			}
			continue
		}
		if b.verdict.what == suspended {
			var on bool
			if slept, on = m.doze(ctx, b, uptime); !on {
				return nil
			}
			continue
		}
		if b.verdict.what != rebooted || m.opt.NoReboot {
			return b.verdict.err
		}
		m.log.Info("the guest restarts")
		m.opt.Timeline.Add("reset")
	}
}

// fallbackTime is how soon a processor that cannot go on is the snapshot's fault.
const fallbackTime = 10 * time.Second

// fallBack makes the machine ready to be powered on in place of going on from a snapshot, which failed.
func (m *Machine) fallBack(why error) error {
	for i, d := range m.disks {
		if v, ok := d.(*volatile.Image); ok {
			if err := v.Forget(); err != nil {
				return errors.Join(why, fmt.Errorf("disk %s: %w", m.cfg.Disks[i].Address, err))
			}
		}
	}
	m.opt.Fallback(why)
	m.opt.Timeline.Add("cold start instead")
	m.input.Deliver(nil) // to nobody: firmware or a kernel does not listen yet
	m.begin()
	return nil
}

// Underway is closed when the guest goes on from Options.From, or was powered on because it could not; without From from the beginning.
func (m *Machine) Underway() <-chan struct{} { return m.underway }

func (m *Machine) powerOn(slept *sleep) (*board, error) {
	b, err := m.newBoard(slept)
	if err != nil {
		return nil, err
	}
	m.adopt(b)
	b.start()
	return b, nil
}

// adopt makes b the board that the machine's methods act on, and catches it up with what they said while there was none.
func (m *Machine) adopt(b *board) {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.mu.Lock()
	m.board = b
	b.resize(m.columns, m.rows)
	b.inflate(m.reclaimed)
	paused := m.pauses > 0
	if m.off {
		b.verdict.decide(poweredOff, nil)
	}
	m.mu.Unlock()
	if paused {
		b.pause()
	}
}

// PowerButton presses the power button: the guest decides what to do, or wakes if it sleeps. It says whether the guest listens.
func (m *Machine) PowerButton() (heard bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.board != nil {
		return m.board.power.PressPowerButton()
	}
	return m.rouse(call{cause: acpipm.WokenByButton})
}

// PowerOff ends the machine at once, whatever the guest is doing, also between two power cycles and before Run. Disks are flushed and
// closed by Close.
func (m *Machine) PowerOff() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.off = true
	m.rouse(call{cold: true})
	if m.board != nil {
		m.board.verdict.decide(poweredOff, nil)
	}
}

// Reset starts the guest anew, also one that sleeps. It says whether there is one.
func (m *Machine) Reset() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.board != nil {
		m.board.verdict.decide(rebooted, nil)
		return true
	}
	return m.rouse(call{cold: true})
}

// Pause stops the guest between two instructions, and its devices between two requests. Calls nest. A machine that is powered off
// starts paused. It takes as long as the requests that are under way; PowerOff and the others need not wait for that.
func (m *Machine) Pause() {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.mu.Lock()
	b := m.board
	m.pauses++
	first := m.pauses == 1
	m.mu.Unlock()
	if first && b != nil {
		b.pause()
	}
}

// Resume undoes one Pause. Without one it does nothing.
func (m *Machine) Resume() {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.mu.Lock()
	b := m.board
	last := m.pauses == 1
	m.pauses = max(m.pauses-1, 0)
	m.mu.Unlock()
	if last && b != nil {
		b.resume()
	}
}

// Resize tells the guest the size of the user's terminal.
func (m *Machine) Resize(columns, rows uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.columns, m.rows = columns, rows
	if m.board != nil {
		m.board.resize(columns, rows)
	}
}

// repeatSize tells the guest the size of the user's terminal again.
func (m *Machine) repeatSize() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.board != nil {
		m.board.resize(m.columns, m.rows)
	}
}

func (m *Machine) withBoard(f func(*board)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.board != nil {
		f(m.board)
	}
}

// Close closes disks and links. The machine must not be running. After ErrStuck it leaves them to the end of the process.
func (m *Machine) Close() error {
	m.mu.Lock()
	stuck := m.stuck
	m.mu.Unlock()
	if stuck {
		m.console.close()
		return nil
	}
	errs := []error{closeLinks(m.links)}
	for _, d := range m.disks {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	for _, f := range []*os.File{m.kernel, m.initrd} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	for i, f := range m.serials {
		if f != nil {
			errs = append(errs, f.Close())
		}
		m.serials[i] = nil
	}
	m.takeSnapshot().Close()
	errs = append(errs, m.firmware.close(), m.tpm.Close())
	m.links, m.disks, m.kernel, m.initrd, m.firmware, m.tpm = nil, nil, nil, nil, nil, nil
	if m.sound != nil {
		errs = append(errs, m.sound.Close())
	}
	m.console.close()
	return errors.Join(errs...)
}
