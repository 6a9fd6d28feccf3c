package acpi

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/sharevm/vmm/boot/aml"
)

// generation is the body of a table that declares the machine's generation id (Microsoft, "Virtual Machine Generation ID"), and the offset in it of the
// 32 bits that hold the id's address.
func generation(c *Config) (body []byte, at int) {
	const unknown = 0xFEEDF1D0 // stands nowhere else in the table
	address := aml.Integer(unknown)
	body = append(body, aml.Scope(`\_SB`, aml.Device("VGEN",
		aml.Name("_HID", aml.String("VMMM0001")),
		aml.Name("_CID", aml.String("VM_Gen_Counter")),
		aml.Name("_DDN", aml.String("VM_Gen_Counter")),
		aml.Name("ADDR", aml.Package(address, aml.Integer(0))),
	))...)
	body = append(body, aml.Scope(`\_GPE`, aml.Method(fmt.Sprintf("_E%02X", c.GenerationGPE), 0, false,
		aml.Notify(aml.Path(`\_SB.VGEN`), generationChanged)))...)
	at = bytes.Index(body, address) + 1
	binary.LittleEndian.PutUint32(body[at:], c.GenerationOffset)
	return body, at
}

const generationChanged = 0x80 // of the notifications of a device
