package acpi

import (
	"fmt"

	"github.com/sharevm/vmm/boot/aml"
	"github.com/sharevm/vmm/boot/layout"
)

// dsdt is the body of the differentiated system description table: AML that declares processors, buses and legacy devices.
func dsdt(c *Config) []byte {
	var b []byte
	parts := []aml.Term{processors(c), pciRoot(c), motherboard(c), legacyDevices(c)}
	if c.Chipset {
		b = append(b, interruptModel()...)
		parts = append(parts, links())
	}
	b = append(b, aml.Scope("_SB", parts...)...)
	sleep := func(name string, kind uint64) {
		b = append(b, aml.Name(name, aml.Package(aml.Integer(kind), aml.Integer(kind), aml.Integer(0), aml.Integer(0)))...)
	}
	if c.S3 {
		sleep("_S3", layout.SleepTypeS3)
	}
	if c.S4 {
		sleep("_S4", layout.SleepTypeS4)
	}
	sleep("_S5", layout.SleepTypeS5)
	return b
}

func concat(terms ...aml.Term) aml.Term {
	var t aml.Term
	for _, e := range terms {
		t = append(t, e...)
	}
	return t
}

func hid(id string) aml.Term { return aml.Name("_HID", aml.EISAID(id)) }

func uid(n int) aml.Term { return aml.Name("_UID", aml.Integer(uint64(n))) }

func crs(resources ...aml.Resource) aml.Term {
	return aml.Name("_CRS", aml.ResourceTemplate(resources...))
}

// processors declares a device for each processor; _UID ties it to the MADT.
func processors(c *Config) aml.Term {
	var t aml.Term
	for cpu := range c.APICIDs {
		t = append(t, aml.Device(fmt.Sprintf("C%03X", cpu), aml.Name("_HID", aml.String("ACPI0007")), uid(cpu))...)
	}
	return t
}

// pciRoot declares the PCI Express host bridge.
func pciRoot(c *Config) aml.Term {
	windows := []aml.Resource{
		aml.BusRange(0, uint8(c.PCIBuses-1)),
		aml.IO(layout.PortPCIAddress, 8),
		aml.IORange(0, layout.PortPCIAddress-1),
		aml.IORange(layout.PortPCIAddress+8, layout.PortPCIWindowEnd-1),
	}
	if c.VGA {
		windows = append(windows, aml.MemoryRange32(layout.VideoRAM, layout.VideoRAMEnd-1))
	}
	low := c.Memory32
	if low == nil {
		low = []layout.Window{c.Layout.MMIO32}
	}
	for _, w := range low {
		windows = append(windows, aml.MemoryRange32(uint32(w.Base), uint32(w.End()-1)))
	}
	if w := c.Layout.MMIO64; w.Size != 0 {
		windows = append(windows, aml.MemoryRange64(w.Base, w.End()-1))
	}
	body := concat(
		hid("PNP0A08"),
		aml.Name("_CID", aml.EISAID("PNP0A03")),
		uid(0),
		aml.Name("_SEG", aml.Integer(0)),
		aml.Name("_BBN", aml.Integer(0)),
		crs(windows...),
		operatingSystemCapabilities(),
	)
	switch {
	case c.Chipset:
		body = concat(body, chipsetRouting(), lpcBridge())
	case c.INTx:
		body = append(body, interruptRouting()...)
	}
	return aml.Device("PCI0", body)
}

// interruptRouting is the _PRT: each pin of each slot of bus 0 goes straight to an input of the IOAPIC.
func interruptRouting() aml.Term {
	const slots, pins, anyFunction = 32, 4, 0xFFFF
	var routes []aml.Term
	for slot := range uint8(slots) {
		for pin := range uint8(pins) {
			routes = append(routes, aml.Package(
				aml.Integer(uint64(slot)<<16|anyFunction),
				aml.Integer(uint64(pin)),
				aml.Integer(0),
				aml.Integer(uint64(layout.PCIGSI(slot, pin))),
			))
		}
	}
	return aml.Name("_PRT", aml.Package(routes...))
}

// Bits of _OSC for PCI Express host bridges (PCI Firmware Specification 3.3, section 4.5).
const (
	oscPCIExpress = "33db4d5b-1ff7-401c-9657-7441c03dd766"

	oscUnknownUUID     = 1 << 2 // first double word: status
	oscUnknownRevision = 1 << 3
	oscMasked          = 1 << 4

	oscHotPlug    = 1 << 0 // third: control
	oscPME        = 1 << 2
	oscAER        = 1 << 3
	oscCapability = 1 << 4
	oscGranted    = oscHotPlug | oscPME | oscAER | oscCapability
)

// operatingSystemCapabilities is the method by which the guest asks for control of PCI Express features: it gets what a
// native driver needs, and nothing that firmware would have to keep.
func operatingSystemCapabilities() aml.Term {
	status, control := aml.Path("CDW1"), aml.Path("CDW3")
	flag := func(bit uint64) aml.Term { return aml.Or(status, aml.Integer(bit), status) }
	return aml.Method("_OSC", 4, true,
		aml.CreateDWordField(aml.Arg(3), 0, "CDW1"),
		aml.If(aml.Equal(aml.Arg(0), aml.UUID(oscPCIExpress)),
			aml.CreateDWordField(aml.Arg(3), 8, "CDW3"),
			aml.Store(control, aml.Local(0)),
			aml.And(control, aml.Integer(oscGranted), control),
			aml.If(aml.Not(aml.Equal(aml.Local(0), control)), flag(oscMasked)),
			aml.If(aml.Not(aml.Equal(aml.Arg(1), aml.Integer(1))), flag(oscUnknownRevision)),
		),
		aml.Else(flag(oscUnknownUUID)),
		aml.Return(aml.Arg(3)),
	)
}

// motherboard reserves what belongs to the board itself, so that no BAR is put there. Linux uses ECAM only if it is here.
func motherboard(c *Config) aml.Term {
	return aml.Device("MBRD", hid("PNP0C02"), uid(0), crs(
		aml.Memory32Fixed(uint32(c.Layout.ECAM.Base), uint32(c.PCIBuses)*(layout.ECAMSize/maxBuses)),
		aml.IO(layout.PortSystemA, 1),
		aml.IO(layout.PortSMI, layout.PortSMISize),
		aml.IO(layout.PortELCR, layout.PortELCRSize),
		aml.IO(layout.PortPMBase, layout.PortPMSize),
	))
}

// legacyDevices declares what sits on the low pin count bus.
func legacyDevices(c *Config) aml.Term {
	t := concat(
		aml.Device("PIC", hid("PNP0000"), crs(
			aml.IO(layout.PortPIC1, layout.PortPIC1Size), aml.IO(layout.PortPIC2, layout.PortPIC2Size), aml.IRQ(2))),
		aml.Device("TIMR", hid("PNP0100"), crs(aml.IO(layout.PortPIT, layout.PortPITSize), aml.IRQ(0))),
	)
	if c.RTC {
		t = append(t, aml.Device("RTC", hid("PNP0B00"), crs(aml.IO(layout.PortRTC, layout.PortRTCSize), aml.IRQ(layout.GSIRTC)))...)
	}
	if c.I8042 {
		t = append(t, aml.Device("KBD", hid("PNP0303"), crs(
			aml.IO(layout.PortI8042Data, 1), aml.IO(layout.PortI8042Command, 1), aml.IRQ(layout.GSIKeyboard)))...)
		t = append(t, aml.Device("MOU", hid("PNP0F13"), crs(aml.IRQ(layout.GSIMouse)))...)
	}
	for i, present := range c.Serials {
		if present {
			t = append(t, aml.Device(fmt.Sprintf("COM%d", i+1), hid("PNP0501"), uid(i+1), crs(
				aml.IO(layout.SerialPorts[i], layout.SerialSize), aml.IRQ(uint(layout.SerialGSIs[i]))))...)
		}
	}
	if c.TPM {
		t = append(t, tpmDevice()...)
	}
	if c.HPET {
		t = append(t, aml.Device("HPET", hid("PNP0103"), uid(0), crs(aml.Memory32Fixed(layout.HPET, layout.HPETSize)))...)
	}
	return t
}
