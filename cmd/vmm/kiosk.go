package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/session"
)

// errOwnNested is for --screen and --kiosk with --nested.
var errOwnNested = errors.New("--screen shows machines on this computer's own screen, which the nested host does not have: --web, --vnc")

// addKiosk adds the options for consoles that strangers use.
func (fl *sessionFlags) addKiosk(f *pflag.FlagSet) {
	f.BoolVar(&fl.kiosk, "kiosk", false, "for a console that others use: --screen with no way out, where every machine that ends starts again")
	f.StringVar(&fl.keys, "kiosk-keys", "hotkey", "`KEYS` that a kiosk's users have: hotkey, turn (Ctrl-Alt-Left, Right), overview (Ctrl-Alt-Up), windows (Ctrl-Alt-N), terminals (Ctrl-Alt-F1 to F12); or none")
}

// applyKiosk sees to what --kiosk means for the other options.
func (fl *sessionFlags) applyKiosk() error {
	if !fl.kiosk {
		return nil
	}
	if fl.screen.windowed() {
		return errors.New("--kiosk shows machines on this computer's own screen: windows of a desktop leave ways out (--window, --fullscreen)")
	}
	if fl.screen.own == "" {
		fl.screen.own = firstOutput
	}
	fl.without, fl.screen.locked = session.AllKeys, true
	for k := range strings.SplitSeq(fl.keys, ",") {
		switch k {
		case "hotkey":
			fl.without &^= session.HotkeyKeys
		case "turn":
			fl.without &^= session.TurnKeys
		case "overview":
			fl.without &^= session.OverviewKeys
		case "windows":
			fl.without &^= session.WindowKeys
		case "terminals":
			fl.screen.locked = false
		case "none", "":
		default:
			return fmt.Errorf("--kiosk-keys %q: want hotkey, turn, overview, windows, terminals or none", k)
		}
	}
	return nil
}
