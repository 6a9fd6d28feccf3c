package machine

import (
	"bytes"
	"errors"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/devices/tpm"
	"github.com/sharevm/vmm/devices/tpm/swtpm"
	"github.com/sharevm/vmm/vmm/state"
)

var errTPMDiscard = errors.New("what a TPM remembers cannot be thrown away at the end as writes to disks can: leave out --snapshot and vmm.overlay, or the TPM (vtpm.present = \"FALSE\")")

// startTPM starts the program that is the machine's TPM. It outlives power cycles, as a chip does that has power.
func (m *Machine) startTPM() (err error) {
	c := &m.cfg.TPM
	switch {
	case !c.Present:
		return nil
	case m.opt.Discard:
		return errTPMDiscard
	}
	m.tpm, err = swtpm.Start(c.State, tpm.BufferSize)
	return err
}

// addTPM adds the TPM's interface, and resets the TPM.
func (b *board) addTPM() error {
	if b.m.tpm == nil {
		return nil
	}
	if err := b.m.tpm.PowerOn(); err != nil {
		return err
	}
	d := tpm.New(tpm.Config{Backend: b.m.tpm, Base: layout.TPM, Log: b.m.log})
	b.closers = append(b.closers, d)
	b.tpmMemory = &tpmMemory{}
	b.devices = append(b.devices, d, b.tpmMemory)
	return b.vm.MMIO.Map(layout.TPM, layout.TPMSize, d)
}

// tpmMemory is what the TPM remembers, on its way between the program and a snapshot. It is a state.Device.
type tpmMemory struct{ swtpm.State }

const (
	tpmMemoryName    = "swtpm"
	tpmMemoryVersion = 1
)

// Pause implements state.Device: the TPM's interface waits for the command that is under way.
func (t *tpmMemory) Pause() {}

// Resume implements state.Device.
func (t *tpmMemory) Resume() {}

// Save implements state.Device. saveTPM comes first.
func (t *tpmMemory) Save(w *state.Writer) {
	w.Version(tpmMemoryName, tpmMemoryVersion)
	w.Bytes(t.Permanent)
	w.Bytes(t.Volatile)
}

// Restore implements state.Device. restoreTPM makes it so.
func (t *tpmMemory) Restore(r *state.Reader) error {
	r.Version(tpmMemoryName, tpmMemoryVersion)
	t.Permanent, t.Volatile = bytes.Clone(r.Bytes(swtpm.MaxState)), bytes.Clone(r.Bytes(swtpm.MaxState))
	if r.Err() == nil && (len(t.Permanent) == 0 || len(t.Volatile) == 0) {
		r.Fail("tpm: nothing to go on from")
	}
	return r.Err()
}

// saveTPM takes what the TPM of a paused board remembers.
func (b *board) saveTPM() (err error) {
	if b.tpmMemory != nil {
		b.tpmMemory.State, err = b.m.tpm.Save()
	}
	return err
}

// restoreTPM has the TPM remember what was restored. It comes last, since a snapshot that does not fit must not cost the TPM its keys.
func (b *board) restoreTPM() error {
	if b.tpmMemory == nil {
		return nil
	}
	return b.m.tpm.Restore(b.tpmMemory.State)
}
