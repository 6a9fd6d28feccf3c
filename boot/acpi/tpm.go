package acpi

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/aml"
	"github.com/sharevm/vmm/boot/layout"
)

// tpm2Log is the offset of the log's address in the body of the table.
const tpm2Log = 32

// tpm2 is the body of the table that says how the TPM is spoken to (TCG ACPI Specification 1.4, section 8), and where a BIOS leaves the log of what it has measured.
func tpm2(c *Config) []byte {
	const (
		classClient = 0
		startByCRB  = 7  // the method: by the start register of the command response buffer alone
		parameters  = 12 // of the start method; none
	)
	le := binary.LittleEndian
	b := le.AppendUint16(nil, classClient)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, layout.TPM+layout.TPMControl)
	b = le.AppendUint32(b, startByCRB)
	b = append(b, make([]byte, parameters)...)
	if c.TPMLogFile == "" {
		return le.AppendUint32(le.AppendUint64(b, 0), 0)
	}
	b = le.AppendUint32(b, c.TPMLogSize)
	return le.AppendUint64(b, 0) // firmware's
}

// tpmDevice declares the TPM.
func tpmDevice() aml.Term {
	const present = 0xF // and enabled, shown and working
	return aml.Device("TPM",
		aml.Name("_HID", aml.String("MSFT0101")),
		uid(1),
		aml.Name("_STA", aml.Integer(present)),
		crs(aml.Memory32Fixed(layout.TPM, layout.TPMSize)),
	)
}
