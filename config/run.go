package config

// Overlay says what becomes of what the guest writes.
type Overlay string

// The overlays.
const (
	OverlayNone       Overlay = "none"       // writes go to the disks
	OverlayDisposable Overlay = "disposable" // writes go to temporary overlays that are thrown away at power-off
	OverlayKeep       Overlay = "keep"       // writes go to overlays beside the disks that are kept; the disks stay untouched
)

// Priority is how a machine competes with others in a session.
type Priority string

// The priorities.
const (
	PriorityLow    Priority = "low"
	PriorityNormal Priority = "normal"
	PriorityHigh   Priority = "high"
)

// Run holds wishes about running the machine that no guest can see: the vmm.* keys of a .vmx.
type Run struct {
	Hotkey   string   // session key that brings this machine to the front ("F4"), "" for the session's default
	Priority Priority // PriorityNormal unless set
	Overlay  Overlay  // OverlayNone unless set
	Restart  bool     // start again when it dies
	Kiosk    Kiosk    // what the browser machine shows
	Balloon  bool     // the guest can give memory back to the host
	KSM      bool     // the host may keep equal pages of several guests once
	Agent    bool     // the guest has a port by which it learns that it was restored from a snapshot
	// Clipboard is ClipboardAuto unless set; see [Machine.SharesClipboard].
	Clipboard Clipboard
	Instant   bool // start from a snapshot of the running machine, which is made at need
}

// Kiosk configures the browser machine (vmm.kiosk.*).
type Kiosk struct {
	URL      string   // start page
	Allow    []string // host names that may be reached; empty = all
	Keyboard string   // layout, "de"
	Language string   // locale, "de-DE"
	Proxy    string
	CA       string // path of a file with certificates (PEM) of authorities that the browser trusts, too; "" for none
}

// Forgets reports whether nothing that the guest writes outlasts its power-off.
func (m *Machine) Forgets() bool {
	for i := range m.Disks {
		if d := &m.Disks[i]; d.Path != "" && !d.ReadOnly && !m.DiscardsWrites(d) {
			return false
		}
	}
	return !m.TPM.Present
}

// DiscardsWrites reports whether what the guest writes to d is thrown away at power-off.
func (m *Machine) DiscardsWrites(d *Disk) bool {
	return !d.ReadOnly && (d.Mode == ModeIndependentNonpersistent || m.Run.Overlay == OverlayDisposable)
}
