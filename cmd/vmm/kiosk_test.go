package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/session"
)

func TestKioskFlags(t *testing.T) {
	for _, test := range []struct {
		args    string
		own     string
		locked  bool
		without session.Keys
		want    string // of the error
	}{
		{"--screen", firstOutput, false, 0, ""},
		{"--screen=HDMI-A-1", "HDMI-A-1", false, 0, ""},
		{"--kiosk", firstOutput, true, session.TurnKeys | session.OverviewKeys | session.WindowKeys, ""},
		{"--kiosk --screen=card1 --kiosk-keys=overview,terminals", "card1", false, session.HotkeyKeys | session.TurnKeys | session.WindowKeys, ""},
		{"--kiosk --kiosk-keys=none", firstOutput, true, session.AllKeys, ""},
		{"--kiosk --kiosk-keys=hotkey,turn,overview,windows", firstOutput, true, 0, ""},
		{"--kiosk --kiosk-keys=f4", "", true, 0, `"f4"`},
		{"--kiosk --window", "", false, 0, "ways out"},
	} {
		c := newSession()
		var fl sessionFlags
		f := c.Flags()
		if err := f.Parse(strings.Fields(test.args)); err != nil {
			t.Fatal(err)
		}
		fl.kiosk, _ = f.GetBool("kiosk")
		fl.keys, _ = f.GetString("kiosk-keys")
		fl.screen.own, _ = f.GetString("screen")
		fl.screen.window, _ = f.GetBool("window")
		err := fl.applyKiosk()
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", test.args, err)
			}
			continue
		}
		if err != nil || fl.screen.own != test.own || fl.screen.locked != test.locked || fl.without != test.without {
			t.Errorf("%s: %+v, without %b, %v", test.args, fl.screen, fl.without, err)
		}
	}
}

func TestWithoutOwn(t *testing.T) {
	for args, want := range map[string]string{
		"run --screen a.vmx":                              "",
		"-v run --mem 2G --screen=card1 a.vmx --cold":     "-v --mem 2G --cold",
		"run --vnc=5901 --vnc-password f --vnc-tls a.vmx": "",
	} {
		if got := withoutOwn(strings.Fields(args), "a.vmx"); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q", args, got)
		}
	}
}
