package machine

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk/volatile"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/network/usernet"
)

var _ control.Machine = (*Machine)(nil)

// state is what the machine is doing. The caller holds mu.
func (m *Machine) state() control.State {
	switch {
	case m.board == nil && m.calls != nil:
		return control.Asleep
	case m.board == nil:
		return control.Off
	case m.pauses > 0:
		return control.Paused
	}
	return control.Running
}

// Status describes the machine as it is now. It waits for nothing.
func (m *Machine) Status() control.Status {
	s := control.Status{
		Name: m.cfg.Name, File: m.opt.File, Started: m.started, Uptime: time.Since(m.started).Seconds(),
		VCPUs: m.cfg.CPU.Count, Memory: m.cfg.Memory, Disks: []control.Disk{}, NICs: []control.NIC{}, Limits: m.Limits(),
	}
	var used unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used) == nil {
		s.CPU.Seconds = time.Duration(used.Nano()).Seconds()
	}
	means, why := m.cpu.Means()
	if s.CPU.Means = means; why != nil {
		s.CPU.Why = why.Error()
	}
	m.mu.Lock()
	s.State = m.state()
	if m.board != nil {
		for _, v := range m.board.vm.VCPUs() {
			s.Exits += v.Exits()
		}
	}
	m.mu.Unlock()
	for i := range m.cfg.Disks {
		d, gates := &m.cfg.Disks[i], m.diskGates[i]
		c := control.Disk{
			Address: d.Address.String(), File: m.diskFile(i), ReadOnly: d.ReadOnly, Reads: countOf(gates.in), Writes: countOf(gates.out),
		}
		if img := m.disks[i]; img != nil {
			c.Size = img.Size()
			_, c.Discards = img.(*volatile.Image)
		}
		s.Disks = append(s.Disks, c)
	}
	for i := range m.cfg.NICs {
		s.NICs = append(s.NICs, m.nicStatus(i))
	}
	return s
}

// diskFile is the image of a disk, which may be another one after a snapshot.
func (m *Machine) diskFile(i int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Disks[i].Path
}

func countOf(g *throttle.Gate) (c control.Count) {
	c.Operations, c.Bytes = g.Passed()
	return c
}

func (m *Machine) nicStatus(i int) control.NIC {
	n, gates := &m.cfg.NICs[i], m.nicGates[i]
	c := control.NIC{
		Name: fmt.Sprintf("ethernet%d", n.Index), MAC: m.macs[i].String(), Connection: string(n.Connection),
		Plugged: m.links[i] != nil && m.cables.plugged(n.Index, n.Connected), ToGuest: countOf(gates.in), FromGuest: countOf(gates.out), Refused: map[string]uint64{}, Refusals: []control.Refusal{},
	}
	user, ok := m.links[i].(*usernet.Network)
	if !ok {
		return c
	}
	s := user.Stats()
	c.TCPOpen, c.UDPOpen, c.BadChecksums = s.TCPOpen, s.UDPOpen, s.FromGuestChecksum
	for why, count := range s.Refused {
		c.Refused[usernet.Reason(why).String()] = count
	}
	for _, r := range user.Refusals() {
		to := r.Name
		if r.To.IsValid() {
			to = r.To.String()
		}
		c.Refusals = append(c.Refusals, control.Refusal{At: r.At, Reason: r.Reason.String(), Protocol: r.Protocol.String(), To: to})
	}
	return c
}
