package sessionfile

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config/vmx"
)

func load(t *testing.T, text string) (*Session, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.session")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if s != nil { // names as they stand in the file
		for i := range s.Machines {
			s.Machines[i].File = strings.TrimPrefix(s.Machines[i].File, filepath.Dir(path)+"/")
		}
	}
	return s, err
}

func TestLoad(t *testing.T) {
	got, err := load(t, `
# a comment
.encoding = "UTF-8"
HotKey = "scrolllock"
end = "Suspend"
screen.fullScreen = "TRUE"
screen.web = "TRUE"
screen.output = "HDMI-A-1"
kiosk = "TRUE"
kiosk.keys = "hotkey,turn"
screen.vnc = "0.0.0.0:5901"
screen.vncPassword = "/etc/secret"
machine7.file = "/srv/b.vmx"
machine7.end = "poweroff"
machine7.snapshot = "yes"
machine2.restart = "failed"
machine2.file = "sub/a.vmx"
machine2.memory = "4G"
machine2.processors = "2"
machine2.cold = "FALSE"
machine2.from = "fresh"
`)
	want := &Session{
		Hotkey: "scrolllock", End: Suspend, Kiosk: true, Keys: "hotkey,turn", Screen: Screen{FullScreen: true, Web: Default, Output: "HDMI-A-1", VNC: "0.0.0.0:5901", VNCPassword: "/etc/secret"},
		Machines: []Machine{
			{File: "sub/a.vmx", Restart: Failed, Args: []string{"--mem=4G", "--cpus=2", "--from=fresh"}},
			{File: "/srv/b.vmx", End: PowerOff, Args: []string{"--snapshot"}},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestRefused(t *testing.T) {
	const one = "machine0.file = \"a.vmx\"\n"
	many := ""
	for i := range MaxMachines + 1 {
		many += fmt.Sprintf("machine%d.file = \"a.vmx\"\n", i)
	}
	for text, want := range map[string]string{
		"":                                   "names no machine",
		"machine1.cold = \"TRUE\"":           "machine1.file is missing",
		one + "hotkeys = \"f4\"":             ":2: hotkeys",
		one + "machine0.options = \"--x\"":   "no such key",
		one + "machine.file = \"a\"":         "no such key",
		one + "machine-1.file = \"a\"":       "no such key",
		one + "machine99999.file = \"a\"":    "no such key",
		one + "end = \"explode\"":            "want poweroff or suspend",
		one + "machine0.restart = \"maybe\"": "want never or failed or always",
		one + "screen.window = \"3\"":        "want TRUE or FALSE",
		"machine0.file = \"\"":               "name is needed",
		many:                                 "at most 64",
		"a\x00b":                             "NUL",
	} {
		if _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("a folder is taken")
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("hotkey = \"f4\"\nmachine0.file = \"a\"\nmachine3.restart = \"always\"\nmachine3.file=b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := vmx.Parse("a.session", b)
		if err != nil {
			return
		}
		s, err := read(file, "/folder")
		if err != nil {
			return
		}
		if len(s.Machines) == 0 || len(s.Machines) > MaxMachines {
			t.Fatalf("%d machines", len(s.Machines))
		}
		for _, m := range s.Machines {
			if !filepath.IsAbs(m.File) {
				t.Fatalf("%q", m.File)
			}
			for _, a := range m.Args {
				if !strings.HasPrefix(a, "--") {
					t.Fatalf("%q", m.Args)
				}
			}
		}
	})
}
