package acpi

import (
	"fmt"

	"github.com/sharevm/vmm/boot/aml"
	"github.com/sharevm/vmm/boot/layout"
)

// Names of the chipset's interrupt routing.
const (
	apicMode = "\\PICF" // 0 until the guest says that it uses the IOAPIC
	pirqOff  = 0x80     // in a routing register
)

// linkName is the link device of interrupt line n, and registerName its routing register.
func linkName(n int) string     { return fmt.Sprintf("LNK%c", 'A'+n) }
func registerName(n int) string { return fmt.Sprintf("PRQ%c", 'A'+n) }

// interruptModel is the method by which the guest tells its choice of interrupt controllers.
func interruptModel() aml.Term {
	return concat(
		aml.Name(apicMode, aml.Integer(0)),
		aml.Method("\\_PIC", 1, false, aml.Store(aml.Arg(0), aml.Path(apicMode))),
	)
}

// chipsetRouting is the _PRT of the PC board: lines A to H are inputs of the IOAPIC, and links to inputs of the PICs.
func chipsetRouting() aml.Term {
	const slots, pins, anyFunction = 32, 4, 0xFFFF
	var direct, linked []aml.Term
	for slot := range uint8(slots) {
		for pin := range uint8(pins) {
			line := layout.PIRQ(slot, pin)
			address, number := aml.Integer(uint64(slot)<<16|anyFunction), aml.Integer(uint64(pin))
			direct = append(direct, aml.Package(address, number, aml.Integer(0), aml.Integer(uint64(layout.GSIPCIFirst+line))))
			linked = append(linked, aml.Package(address, number, aml.Path("\\_SB."+linkName(line)), aml.Integer(0)))
		}
	}
	return concat(
		aml.Name("PRTA", aml.Package(direct...)),
		aml.Name("PRTP", aml.Package(linked...)),
		aml.Method("_PRT", 0, false,
			aml.If(aml.Path(apicMode), aml.Return(aml.Path("PRTA"))),
			aml.Return(aml.Path("PRTP")),
		),
	)
}

// lpcBridge declares the routing registers of the LPC bridge.
func lpcBridge() aml.Term {
	var units []aml.Unit
	for n := range layout.PIRQs {
		if n == layout.PIRQs/2 {
			units = append(units, aml.Unit{Bits: 32})
		}
		units = append(units, aml.Unit{Name: registerName(n), Bits: 8})
	}
	return aml.Device("LPC",
		aml.Name("_ADR", aml.Integer(layout.LPCSlot<<16)),
		aml.OperationRegion("PIRQ", aml.PCIConfig, layout.LPCRouting, 12),
		aml.ByteField("PIRQ", units...),
	)
}

// links declares a device for each interrupt line, whose resource is the input of the PICs that it is wired to.
func links() aml.Term {
	const disabled, inUse = 0x9, 0xB // _STA: present and working, in use or not
	var t aml.Term
	for n := range layout.PIRQs {
		register := func() aml.Term { return aml.Path("\\_SB.PCI0.LPC." + registerName(n)) }
		t = append(t, aml.Device(linkName(n),
			hid("PNP0C0F"),
			uid(n),
			aml.Name("_PRS", aml.ResourceTemplate(aml.Interrupt(5, 10, 11))),
			aml.Name("BUFR", aml.ResourceTemplate(aml.Interrupt(0))),
			aml.Method("_STA", 0, false,
				aml.If(aml.And(register(), aml.Integer(pirqOff), aml.Nothing()), aml.Return(aml.Integer(disabled))),
				aml.Return(aml.Integer(inUse)),
			),
			aml.Method("_DIS", 0, false, aml.Or(register(), aml.Integer(pirqOff), register())),
			aml.Method("_CRS", 0, true,
				aml.CreateDWordField(aml.Path("BUFR"), aml.InterruptOffset, "IRQN"),
				aml.If(aml.Not(aml.And(register(), aml.Integer(pirqOff), aml.Nothing())), aml.Store(register(), aml.Path("IRQN"))),
				aml.Return(aml.Path("BUFR")),
			),
			aml.Method("_SRS", 1, true,
				aml.CreateDWordField(aml.Arg(0), aml.InterruptOffset, "IRQW"),
				aml.Store(aml.Path("IRQW"), register()),
			),
		)...)
	}
	return t
}
