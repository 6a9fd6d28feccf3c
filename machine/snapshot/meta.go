package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/vmm/kvm"
)

// Meta describes the machine that was saved, as far as it has to be the same when it goes on.
type Meta struct {
	Name  string
	Saved time.Time
	// Shape names each part of the machine that its devices' state depends on, one line each; see Shape.
	Shape []string
	// CPUID is what the boot processor told the guest, TSC its time stamp counter's frequency in kHz, 0 if that is not known.
	CPUID []kvm.CPUIDEntry
	TSC   uint32
	// What the machine had made up for itself.
	UUID config.UUID
	MACs []config.MAC
	// Connections are what each network card's guest had open, by TCP, at a network that does not go on with the machine.
	Connections [][]network.Connection `json:",omitempty"`
	// Kept are the addresses of the disks for which there is a file disk-ADDRESS.
	Kept []string
}

// Shape describes what of a configuration a snapshot depends on. sizes are the disks' capacities in bytes, 0 for a drive without medium.
func Shape(m *config.Machine, sizes []int64) []string {
	s := []string{
		fmt.Sprintf("%d MiB of memory", m.Memory>>20),
		fmt.Sprintf("%d processors, %d to a socket", m.CPU.Count, m.CPU.CoresPerSocket),
		fmt.Sprintf("board %s, firmware %s", m.Board, m.Firmware.Kind),
		fmt.Sprintf("balloon %t, agent %t", m.Run.Balloon, m.Run.Agent),
	}
	if in, out := m.SharesClipboard(); in || out {
		s = append(s, "a clipboard")
	}
	for i := range m.Disks {
		d := &m.Disks[i]
		s = append(s, fmt.Sprintf("%s %s of %d bytes, read-only %t", d.Media, d.Address, sizes[i], d.ReadOnly))
	}
	for i := range m.Controllers {
		s = append(s, fmt.Sprintf("controller %s %s in slot %d", m.Controllers[i].Bus, m.Controllers[i].Model, m.Controllers[i].Slot))
	}
	for i := range m.NICs {
		s = append(s, fmt.Sprintf("network card %d %s in slot %d", m.NICs[i].Index, m.NICs[i].Model, m.NICs[i].Slot))
	}
	for i := range m.Serials {
		s = append(s, fmt.Sprintf("serial port %d", m.Serials[i].Index))
	}
	if w := m.Run.Kiosk.Words(); w != "" {
		s = append(s, "the browser settings "+w)
	}
	return append(s, fmt.Sprintf("display with %d MiB, tablet %t", m.Display.VRAM>>20, m.Input.Tablet))
}

// MismatchError says in what the machine differs from the one that was saved.
type MismatchError struct{ Saved, Here []string }

// Error implements error.
func (e *MismatchError) Error() string {
	say := func(list []string) string {
		if len(list) == 0 {
			return "nothing of it"
		}
		return strings.Join(list, "; ")
	}
	return fmt.Sprintf("the snapshot is of a machine with %s; this one has %s", say(e.Saved), say(e.Here))
}

// Check compares what was saved with the machine that is to go on.
func (m *Meta) Check(shape []string, cpuid []kvm.CPUIDEntry, tsc uint32) error {
	var e MismatchError
	for _, s := range m.Shape {
		if !slices.Contains(shape, s) {
			e.Saved = append(e.Saved, s)
		}
	}
	for _, s := range shape {
		if !slices.Contains(m.Shape, s) {
			e.Here = append(e.Here, s)
		}
	}
	for i := range max(len(m.CPUID), len(cpuid)) {
		saved, here := "no more leaves of CPUID", "no more leaves of CPUID"
		if i < len(m.CPUID) {
			saved = leaf(m.CPUID[i])
		}
		if i < len(cpuid) {
			here = leaf(cpuid[i])
		}
		if saved != here {
			e.Saved, e.Here = append(e.Saved, "a processor with "+saved), append(e.Here, here)
			break
		}
	}
	// The host's own measurement varies by some parts in a million from start to start.
	const tolerance = 4000 // one in
	if m.TSC != 0 && tsc != 0 && max(m.TSC, tsc)-min(m.TSC, tsc) > tsc/tolerance {
		e.Saved = append(e.Saved, fmt.Sprintf("a time stamp counter of %d kHz", m.TSC))
		e.Here = append(e.Here, fmt.Sprintf("one of %d kHz", tsc))
	}
	if e.Saved == nil && e.Here == nil {
		return nil
	}
	return &e
}

func leaf(c kvm.CPUIDEntry) string {
	return fmt.Sprintf("CPUID %#x/%#x = %08x %08x %08x %08x", c.Function, c.Index, c.EAX, c.EBX, c.ECX, c.EDX)
}
