package vmm

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/kvm"
)

// pins is how many inputs the IOAPIC has; GSIs from there on belong to messages.
const pins = 24

// maxMSI bounds the messages of a machine.
const maxMSI = 512

// ErrNoRoutes is returned when a machine's devices want more message-signalled interrupts than there are.
var ErrNoRoutes = fmt.Errorf("no message-signalled interrupt left (%d in use)", maxMSI)

// irqChip owns the table from GSIs to interrupt controller pins and messages.
type irqChip struct {
	kvm *kvm.VM
	log *slog.Logger

	mu       sync.Mutex
	messages [maxMSI]*irq.Message // nil where the GSI is unused or disconnected
	used     [maxMSI]bool
	open     map[*msi]struct{}
	// held keeps changes from KVM while a snapshot's devices are restored: each message would cost a table and a grace period of its own.
	held bool
}

func newIRQChip(k *kvm.VM, log *slog.Logger) *irqChip {
	return &irqChip{kvm: k, log: log, open: make(map[*msi]struct{})}
}

// close closes the vectors that their devices have not given back.
func (c *irqChip) close() error {
	c.mu.Lock()
	left := make([]*msi, 0, len(c.open))
	for m := range c.open {
		left = append(left, m)
	}
	c.mu.Unlock()
	var errs []error
	for _, m := range left {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}

// commit hands the table to KVM: the legacy pins as KVM wires them by default, and the connected messages. c.mu is held.
func (c *irqChip) commit() error {
	routes := make([]kvm.IRQRoute, 0, pins+16+8)
	for gsi := range uint32(pins) {
		if gsi < 8 {
			routes = append(routes, kvm.IRQRoute{GSI: gsi, Type: kvm.RouteIRQChip, U: [8]uint32{kvm.PICMaster, gsi}})
		} else if gsi < 16 {
			routes = append(routes, kvm.IRQRoute{GSI: gsi, Type: kvm.RouteIRQChip, U: [8]uint32{kvm.PICSlave, gsi - 8}})
		}
		// The PIT is wired to IOAPIC pin 2, as the MADT's override tells the guest.
		switch gsi {
		case 0:
			routes = append(routes, kvm.IRQRoute{GSI: gsi, Type: kvm.RouteIRQChip, U: [8]uint32{kvm.IOAPIC, 2}})
		case 2: // the cascade
		default:
			routes = append(routes, kvm.IRQRoute{GSI: gsi, Type: kvm.RouteIRQChip, U: [8]uint32{kvm.IOAPIC, gsi}})
		}
	}
	for i, m := range c.messages {
		if m != nil {
			routes = append(routes, kvm.IRQRoute{GSI: uint32(pins + i), Type: kvm.RouteMSI, U: [8]uint32{uint32(m.Address), uint32(m.Address >> 32), m.Data}})
		}
	}
	return c.kvm.SetRouting(routes)
}

// hold keeps what devices do with their messages from KVM, until release.
func (c *irqChip) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
}

// release tells KVM of all messages at once. What was fired meanwhile is sent.
func (c *irqChip) release() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = false
	if err := c.commit(); err != nil {
		return err
	}
	for m := range c.open {
		if c.messages[m.index] != nil {
			if err := m.bind(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Line returns an input of the interrupt controllers. GSIs 0 to 15 reach PIC and IOAPIC, 16 to 23 the IOAPIC alone.
func (vm *VM) Line(gsi int) irq.Line { return &line{chip: vm.irq, gsi: uint32(gsi)} }

// SilencePIT has the 8254 raise no interrupts, while another timer takes its place.
func (vm *VM) SilencePIT(on bool) error {
	p, err := vm.kvm.PIT()
	if err != nil {
		return err
	}
	const flags, replaced = 72, 1 << 0 // in struct kvm_pit_state2; KVM_PIT_FLAGS_HPET_LEGACY
	p[flags] &^= replaced
	if on {
		p[flags] |= replaced
	}
	return vm.kvm.SetPIT(p)
}

type line struct {
	chip *irqChip
	gsi  uint32

	mu   sync.Mutex // keeps the kernel's view in the order of the calls
	high bool
}

// SetLevel implements irq.Line.
func (l *line) SetLevel(high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.high == high {
		return
	}
	l.high = high
	if err := l.chip.kvm.SetIRQLine(l.gsi, high); err != nil {
		l.chip.log.Error("cannot drive interrupt line", "gsi", l.gsi, "err", err)
	}
}

// NewMSI implements irq.MSIAllocator.
func (vm *VM) NewMSI() (irq.MSI, error) {
	c := vm.irq
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.used {
		if !c.used[i] {
			ev, err := event.NewRaiser()
			if err != nil {
				return nil, err
			}
			c.used[i] = true
			m := &msi{chip: c, index: i, event: ev}
			c.open[m] = struct{}{}
			return m, nil
		}
	}
	return nil, ErrNoRoutes
}

// msi is a message with an eventfd that raises it.
type msi struct {
	chip  *irqChip
	index int
	event *event.Raiser

	// All guarded by chip.mu.
	bound  bool // the eventfd is attached to the GSI
	closed bool
}

// SetMessage implements irq.MSI.
func (m *msi) SetMessage(msg *irq.Message) error {
	c := m.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.closed {
		return errors.New("message-signalled interrupt is closed")
	}
	old := c.messages[m.index]
	if msg == nil {
		if old == nil {
			return nil
		}
		c.messages[m.index] = nil
		// The route may stay: without the eventfd nothing raises it, and a commit costs a grace period in the kernel.
		return m.unbind()
	}
	changed := old == nil || *old != *msg
	if changed {
		copied := *msg
		c.messages[m.index] = &copied
	}
	if c.held {
		return nil
	}
	if changed {
		if err := c.commit(); err != nil {
			c.messages[m.index] = old
			return err
		}
	}
	return m.bind()
}

// bind attaches the eventfd to the GSI. c.mu is held.
func (m *msi) bind() error {
	if m.bound {
		return nil
	}
	if err := m.chip.kvm.AssignIRQFD(m.event.FD(), uint32(pins+m.index)); err != nil {
		return err
	}
	m.bound = true
	return nil
}

func (m *msi) unbind() error {
	if !m.bound {
		return nil
	}
	m.bound = false
	// What was fired while disconnected must not fire on the next connection.
	err := m.chip.kvm.DeassignIRQFD(m.event.FD(), uint32(pins+m.index))
	m.event.Clear()
	return err
}

// Fire implements irq.MSI.
func (m *msi) Fire() { m.event.Signal() }

// Close implements irq.MSI.
func (m *msi) Close() error {
	c := m.chip
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	c.messages[m.index] = nil
	c.used[m.index] = false
	delete(c.open, m)
	return errors.Join(m.unbind(), m.event.Close())
}
