package acpi

import (
	"fmt"

	"github.com/sharevm/vmm/boot/layout"
)

// Bounds of a Config.
const (
	MaxCPUs  = 255 // what fits into the space for tables
	maxBuses = 256
)

// Config says what the board has. Addresses, ports and interrupts are those of package layout.
type Config struct {
	Layout   layout.Layout
	APICIDs  []uint32 // local APIC id of each processor, by its number; 1 to MaxCPUs of them
	PCIBuses int      // buses that ECAM decodes, 1 to 256
	INTx     bool     // PCI interrupt pins are wired, as layout.PCIGSI says
	// Chipset wires the pins as the PC board does, layout.PIRQ, in place of INTx: through the LPC bridge's registers to the PICs, too.
	Chipset bool
	Serials [4]bool // COM1 to COM4
	RTC     bool    // CMOS clock
	I8042   bool    // keyboard controller with keyboard and mouse
	// KeyboardReset has the reset register be the keyboard controller's command port, which must then be there even if I8042 says that there is neither
	// keyboard nor mouse, instead of port CF9h, whose stores a board may deliver late because they share the address latch's ports.
	KeyboardReset bool
	VGA           bool // legacy VGA registers and memory
	HPET          bool
	TPM           bool // TPM 2.0 with a command response buffer
	S3, S4        bool // sleep states beside soft-off
	// TPMLogFile names the file in whose place firmware keeps the log of what it has measured, of TPMLogSize bytes; "" for none.
	TPMLogFile string
	TPMLogSize uint32
	// Memory32 are the windows for 32-bit BARs, where firmware chose them; without, it is that of Layout.
	Memory32 []layout.Window
	// GenerationFile names the file of which firmware has the page with the machine's generation id, at GenerationOffset; "" for none.
	GenerationFile   string
	GenerationOffset uint32
	GenerationGPE    int
}

func (c *Config) check() error {
	if n := len(c.APICIDs); n < 1 || n > MaxCPUs {
		return fmt.Errorf("acpi: %d processors, must be 1 to %d", n, MaxCPUs)
	}
	if c.PCIBuses < 1 || c.PCIBuses > maxBuses {
		return fmt.Errorf("acpi: %d PCI buses, must be 1 to %d", c.PCIBuses, maxBuses)
	}
	return nil
}
