package e1000

// Registers of a PHY (IEEE 802.3, clause 22.2.4, and the Marvell 88E1011's), as MDIC reaches them.
const (
	phyControl      = 0
	phyStatus       = 1
	phyID1          = 2
	phyID2          = 3
	phyAdvertise    = 4
	phyPartner      = 5
	phyExpansion    = 6
	phyGigControl   = 9
	phyGigStatus    = 10
	phyExtStatus    = 15
	phySpecControl  = 16
	phySpecStatus   = 17
	phyErrors       = 21
	phyPage         = 22 // 82574
	phyCount        = 32
	phyReset        = 1 << 15
	phyNegotiate    = 1 << 9 // restart it
	phyLink         = 1 << 2
	phyNegotiated   = 1 << 5
	phyStatusAlways = 0x7949 // 10, 100 and 1000 Mb/s, negotiation
	phyStatusUp     = phyStatusAlways | phyNegotiated | phyLink
)

// MDIC (82574 datasheet, section 10.2.2.7).
const (
	mdicRegister  = 16 // shift
	mdicPHY       = 21
	mdicOp        = 26
	mdicOpWrite   = 1
	mdicOpRead    = 2
	mdicReady     = 1 << 28
	mdicInterrupt = 1 << 29
	mdicError     = 1 << 30
	phyAddress    = 1
)

// negotiated is what the PHY says of a partner that can do 1000 Mb/s in full duplex, with pauses.
var negotiated = [phyCount]uint16{phyPartner: 0x45e1, phyExpansion: 0x0003, phyGigStatus: 0x7c00, phySpecStatus: 0xac08}

// resetPHY brings the PHY back to power-on, with negotiation on and all that a gigabit PHY can do advertised.
func (d *Device) resetPHY() {
	d.phy = [phyCount]uint16{
		phyControl: 0x1140, phyID1: uint16(d.model.phy >> 16), phyID2: uint16(d.model.phy), phyAdvertise: 0x0de1, phyGigControl: 0x0e00,
		phyExtStatus: 0x3000, phySpecControl: 0x0068,
	}
}

// readPHY returns a register; those that tell of the link follow the cable.
func (d *Device) readPHY(n uint32) uint16 {
	if n != phyPage && d.phy[phyPage] != 0 && d.model.pages {
		return 0 // wake-up and other pages
	}
	up := d.linkUp()
	switch n {
	case phyStatus:
		if up {
			return phyStatusUp
		}
		return phyStatusAlways
	case phyPartner, phyExpansion, phyGigStatus, phySpecStatus:
		if up {
			return negotiated[n]
		}
		return 0
	case phyErrors:
		return 0
	}
	return d.phy[n]
}

// writePHY stores a register.
func (d *Device) writePHY(n uint32, v uint16) {
	switch {
	case n == phyPage:
		d.phy[n] = v
		return
	case d.phy[phyPage] != 0 && d.model.pages:
		return
	}
	switch n {
	case phyStatus, phyID1, phyID2, phyPartner, phyExpansion, phyGigStatus, phyExtStatus, phySpecStatus, phyErrors:
	case phyControl:
		if v&phyReset != 0 {
			page := d.phy[phyPage]
			d.resetPHY()
			d.phy[phyPage] = page
			v = d.phy[phyControl]
		}
		d.phy[phyControl] = v &^ (phyReset | phyNegotiate)
		if v&phyNegotiate != 0 && d.linkUp() {
			d.raise(icrLSC)
		}
	default:
		d.phy[n] = v
	}
}

// writeMDIC carries out one access to the PHY.
func (d *Device) writeMDIC(v uint32) {
	n := v >> mdicRegister & (phyCount - 1)
	op := v >> mdicOp & 3
	switch {
	case v>>mdicPHY&31 != phyAddress:
		v |= mdicError
	case op == mdicOpWrite:
		v &^= mdicError
		d.writePHY(n, uint16(v))
	case op == mdicOpRead:
		v = v&^(mdicError|0xffff) | uint32(d.readPHY(n))
	default:
		v |= mdicError
	}
	d.set(regMDIC, v|mdicReady)
	if v&mdicInterrupt != 0 {
		d.raise(icrMDAC)
	}
}
