package drm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// card is a graphics card that can set modes.
type card struct {
	kernel
	path       string
	driver     string
	cursorW    int // of the card's cursor, in pixels; 0 for none
	cursorH    int
	crtcs      []uint32
	connectors []uint32
}

// newCard asks a card what it can.
func newCard(k kernel, path string) (*card, error) {
	c := &card{kernel: k, path: path}
	var err error
	if c.driver, err = driverName(k); err != nil {
		return nil, err
	}
	if c.crtcs, c.connectors, err = getResources(k); err != nil {
		return nil, fmt.Errorf("%w (a card that shows nothing)", err)
	}
	if len(c.crtcs) == 0 || len(c.connectors) == 0 {
		return nil, errors.New("it has no outputs")
	}
	if c.capability(capDumb) == 0 {
		return nil, errors.New("its driver has no buffers for us to draw in")
	}
	c.cursorW, c.cursorH = int(min(c.capability(capCursorWidth), maxWidth)), int(min(c.capability(capCursorHeight), maxWidth))
	return c, nil
}

// capability is what the card says of one of its abilities; 0 where it knows nothing of it.
func (c *card) capability(n uint64) uint64 {
	v := capability{Capability: n}
	if call(c.kernel, nrGetCap, "", &v) != nil {
		return 0
	}
	return v.Value
}

// copies says whether the driver keeps a copy of what it shows, or sends it somewhere: it has to be told of changes, and a flip would have it copy everything.
func (c *card) copies() bool {
	return slices.Contains([]string{
		"virtio_gpu", "bochs-drm", "qxl", "vmwgfx", "vboxvideo", "cirrus", "hyperv_drm", "simpledrm", "ofdrm", "ast", "mgag200", "udl", "gud", "xen-drm-front",
	}, c.driver)
}

func (c *card) setMaster() error  { return bare(c.kernel, nrSetMaster, "become the master of "+c.path) }
func (c *card) dropMaster() error { return bare(c.kernel, nrDropMaster, "drop the master of "+c.path) }

// opener opens the device file of a card.
type opener func(path string) (kernel, error)

func openKernel(path string) (kernel, error) { return openFile(path) }

// cardPaths lists the cards of the host, in order of their numbers.
func cardPaths(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "card[0-9]*"))
	if err != nil {
		return nil, err
	}
	number := func(p string) int {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(p), "card"))
		if err != nil {
			return 1 << 30
		}
		return n
	}
	slices.SortFunc(paths, func(a, b string) int { return number(a) - number(b) })
	return paths, nil
}

// wanted is what the user says of card and connector: nothing, a card (card1), a connector (HDMI-A-1) or both (card1:HDMI-A-1).
type wanted struct{ card, connector string }

func parseWanted(s string) (w wanted) {
	if strings.HasPrefix(s, "card") {
		w.card, w.connector, _ = strings.Cut(s, ":")
		return w
	}
	w.connector = s
	return w
}

// openCard opens the first card with a monitor that is wanted, or else the first one at all.
func openCard(dir string, w wanted, open opener, log *slog.Logger) (*card, error) {
	paths, err := cardPaths(dir)
	if err != nil {
		return nil, err
	}
	var without *card // a card without a monitor
	var failed error
	for _, p := range paths {
		if w.card != "" && filepath.Base(p) != w.card {
			continue
		}
		k, err := open(p)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		c, err := newCard(k, p)
		if err != nil {
			k.Close()
			failed = errors.Join(failed, fmt.Errorf("%s: %w", p, err))
			continue
		}
		m, err := c.monitor(w)
		log.Debug("graphics card", "device", p, "driver", c.driver, "monitor", m != nil, "error", err)
		switch {
		case m != nil:
			if without != nil {
				without.Close()
			}
			return c, nil
		case without == nil:
			without = c
		default:
			c.Close()
		}
	}
	switch {
	case without != nil:
		return without, nil
	case errors.Is(failed, fs.ErrPermission):
		return nil, fmt.Errorf("%w; the user has to be in the groups video and input", failed)
	case failed != nil:
		return nil, failed
	case w.card != "":
		return nil, fmt.Errorf("there is no %s", filepath.Join(dir, w.card))
	}
	return nil, fmt.Errorf("there is no graphics card: %s has no card*", dir)
}

// monitor is something to look at: a connector with a mode, and what drives it.
type monitor struct {
	connector uint32
	name      string // of the connector, as in HDMI-A-1
	label     string // what the monitor calls itself
	crtc      uint32
	mode      modeInfo
}

func (m *monitor) same(o *monitor) bool {
	return m != nil && o != nil && m.connector == o.connector && m.crtc == o.crtc && m.mode == o.mode
}

// kinds are the names of connectors (drm_mode.h, DRM_MODE_CONNECTOR_*).
var kinds = []string{
	"Unknown", "VGA", "DVI-I", "DVI-D", "DVI-A", "Composite", "SVIDEO", "LVDS", "Component", "DIN", "DP", "HDMI-A", "HDMI-B", "TV", "eDP", "Virtual", "DSI", "DPI", "Writeback", "SPI", "USB",
}

func connectorName(c *connectorInfo) string {
	kind := "Unknown"
	if int(c.Kind) < len(kinds) {
		kind = kinds[c.Kind]
	}
	return kind + "-" + strconv.FormatUint(uint64(c.KindID), 10)
}

// monitor finds the first connected monitor that is wanted; nil where there is none.
func (c *card) monitor(w wanted) (*monitor, error) {
	var failed error
	for _, id := range c.connectors {
		n, err := getConnector(c.kernel, id)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		name := connectorName(&n.connectorInfo)
		if n.Connection != connected || w.connector != "" && !strings.EqualFold(name, w.connector) {
			continue
		}
		mode := bestMode(n.modes)
		if mode == nil {
			continue
		}
		crtc, err := c.crtcFor(n)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
			continue
		}
		return &monitor{connector: id, name: name, label: c.label(n), crtc: crtc, mode: *mode}, nil
	}
	return nil, failed
}

// bestMode is the mode that the monitor prefers, or else its largest and fastest.
func bestMode(modes []modeInfo) *modeInfo {
	rank := func(m *modeInfo) [3]int {
		preferred := 0
		if m.Type&modePreferred != 0 {
			preferred = 1
		}
		return [3]int{preferred, int(m.Width) * int(m.Height), int(m.Refresh)}
	}
	var best *modeInfo
	for i := range modes {
		m := &modes[i]
		if m.Width == 0 || m.Height == 0 || m.Width > maxWidth || m.Height > maxWidth || m.Flags&modeInterlace != 0 {
			continue
		}
		if a := rank(m); best == nil {
			best = m
		} else if b := rank(best); slices.Compare(a[:], b[:]) > 0 {
			best = m
		}
	}
	return best
}

// crtcFor finds what can drive a connector: what does so now, or else the first that may.
func (c *card) crtcFor(n *connectorLists) (uint32, error) {
	if n.Encoder != 0 {
		e := encoderInfo{ID: n.Encoder}
		if call(c.kernel, nrGetEncoder, "", &e) == nil && slices.Contains(c.crtcs, e.CRTC) {
			return e.CRTC, nil
		}
	}
	for _, id := range n.encoders {
		e := encoderInfo{ID: id}
		if err := call(c.kernel, nrGetEncoder, "ask for an encoder", &e); err != nil {
			return 0, err
		}
		for i, crtc := range c.crtcs {
			if i < 32 && e.PossibleCRTCs>>i&1 != 0 {
				return crtc, nil
			}
		}
	}
	return 0, errors.New("nothing can drive it")
}

// label is what a monitor calls itself, "" if it does not.
func (c *card) label(n *connectorLists) string {
	for i, id := range n.props {
		p := propertyInfo{ID: id}
		if call(c.kernel, nrGetProperty, "", &p) != nil || string(bytes.TrimRight(p.Name[:], "\x00")) != "EDID" || n.values[i] == 0 {
			continue
		}
		if b, err := getBlob(c.kernel, uint32(n.values[i])); err == nil {
			return edidLabel(b)
		}
	}
	return ""
}
