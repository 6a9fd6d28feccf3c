package machine

import (
	"errors"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/devices/tpm"
	"github.com/sharevm/vmm/devices/tpm/swtpm"
)

var (
	errTPMDiscard  = errors.New("what a TPM remembers cannot be thrown away at the end as writes to disks can: leave out --snapshot and vmm.overlay, or the TPM (vtpm.present = \"FALSE\")")
	errTPMSnapshot = errors.New("what a TPM remembers cannot be saved yet: a machine with vtpm.present = \"TRUE\" can be shut down, not suspended")
)

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
	b.devices = append(b.devices, d)
	return b.vm.MMIO.Map(layout.TPM, layout.TPMSize, d)
}
