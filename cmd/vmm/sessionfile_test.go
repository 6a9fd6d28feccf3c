package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/session"
)

// TestSessionFile reads a session file, with options of the command line before it.
func TestSessionFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	password := write("password", "secret\n")
	file := write("kiosk.session", `hotkey = "f11"
end = "suspend"
screen.web = "TRUE"
screen.vnc = "0.0.0.0:5907"
screen.vncPassword = "password"
machine0.file = "a.vmx"
machine0.restart = "always"
machine1.file = "b.vmx"
machine1.memory = "1G"
machine1.end = "poweroff"
`)
	take := func(flags ...string) (*sessionFlags, []string, error) {
		var fl sessionFlags
		c := newSession()
		if err := c.ParseFlags(flags); err != nil {
			t.Fatal(err)
		}
		fl.hotkey, _ = c.Flags().GetString("hotkey")
		fl.end, _ = c.Flags().GetString("end")
		fl.screen.web, _ = c.Flags().GetString("web")
		files, err := fl.takeFile(c, c.Flags().Args())
		return &fl, files, err
	}
	fl, files, err := take(file)
	if err != nil || !slices.Equal(files, []string{filepath.Join(dir, "a.vmx"), filepath.Join(dir, "b.vmx")}) || fl.hotkey != "f11" || fl.screen.web != defaultWeb || fl.screen.vnc != "0.0.0.0:5907" {
		t.Errorf("%+v, %v, %v", fl, files, err)
	}
	v := config.VNC{}
	if err := fl.screen.apply(&v); err != nil || v.Password != "secret" || v.Port != 5907 || fl.screen.password != password {
		t.Errorf("%+v, %v", v, err)
	}
	a, b := session.Spec{Args: []string{"run", "a.vmx"}}, session.Spec{Args: []string{"run", "b.vmx"}}
	fl.planned(0, &a)
	fl.planned(1, &b)
	if a.Restart != session.RestartAlways || a.PowerOff || strings.Join(a.Args, " ") != "run a.vmx" || b.Restart != "" || !b.PowerOff || strings.Join(b.Args, " ") != "run --mem=1G b.vmx" {
		t.Errorf("%+v, %+v", a, b)
	}
	if fl, _, err := take("--hotkey=f4", "--web=5801", "--end=poweroff", file); err != nil || fl.hotkey != "f4" || fl.screen.web != "5801" || fl.screen.vnc != "" || fl.end != "poweroff" {
		t.Errorf("%+v, %v", fl, err)
	}
	if fl, files, err := take("a.vmx", "b.vmx"); err != nil || len(files) != 2 || fl.plan != nil {
		t.Errorf("%v, %v", files, err)
	}
	kiosk := write("k.session", "kiosk = \"TRUE\"\nkiosk.keys = \"none\"\nscreen.output = \"HDMI-A-1\"\nmachine0.file = \"a.vmx\"\n")
	if fl, _, err := take(kiosk); err != nil || !fl.kiosk || fl.keys != "none" || fl.screen.own != "HDMI-A-1" || fl.applyKiosk() != nil || !fl.screen.locked {
		t.Errorf("%+v, %v", fl, err)
	}
	var exit *exitError
	if _, _, err := take(file, "a.vmx"); !errors.As(err, &exit) || exit.code != exitUsage {
		t.Error(err)
	}
	if _, err := command(t, "session", write("bad.session", "colour = \"red\"\n")); err == nil || !strings.Contains(err.Error(), "bad.session:1: colour") {
		t.Error(err)
	}
}
