// Package sessionfile reads what a session of machines is to be like from a file, in the syntax of a .vmx:
//
//	# kiosk.session
//	hotkey = "f4"
//	end = "suspend"
//	screen.fullscreen = "TRUE"
//	machine0.file = "chromeos.vmx"
//	machine0.restart = "always"
//	machine1.file = "../windows/windows.vmx"
//	machine1.memory = "4G"
//	machine1.end = "poweroff"
//
// Machines come in the order of their numbers, the first in front; numbers may be left out. File names are seen from the folder of the file. A key that is not known is an error,
// since a kiosk that ignores one would not be the one that was meant.
package sessionfile

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config/vmx"
)

// Suffix is what the names of such files end in.
const Suffix = ".session"

// MaxMachines bounds the machines of a session.
const MaxMachines = 64

// Restart says when a machine starts again by itself.
type Restart string

// The ways. Without one a machine whose writes are thrown away starts again always, others never.
const (
	Never  Restart = "never"
	Failed Restart = "failed" // when its process did not end well
	Always Restart = "always"
)

// End says how a machine ends with the session.
type End string

// The ways.
const (
	PowerOff End = "poweroff"
	Suspend  End = "suspend"
)

// Session is what a file says. What it does not say is empty.
type Session struct {
	Machines []Machine
	Hotkey   string
	End      End
	Screen   Screen
	Kiosk    bool   // for a console that others use
	Keys     string // that they have, as vmm session --kiosk-keys takes them
}

// Machine is a machine of the session.
type Machine struct {
	File    string // the .vmx
	Restart Restart
	End     End
	Args    []string // for vmm run
}

// Screen says where the session is shown.
type Screen struct {
	Window, FullScreen bool
	Web, VNC           string // address; Default where the file says TRUE
	Output             string // of this computer; Default for any
	VNCPassword        string // file
}

// Default stands for the address that is taken where none is given.
const Default = "default"

// Load reads a file.
func Load(path string) (*Session, error) {
	f, err := vmx.Open(path)
	if err != nil {
		return nil, err
	}
	return read(f, filepath.Dir(path))
}

// reader reads the keys of one file.
type reader struct {
	f      *vmx.File
	folder string
	s      Session
	byN    map[uint64]*Machine
}

func read(f *vmx.File, folder string) (*Session, error) {
	r := &reader{f: f, folder: folder, byN: make(map[uint64]*Machine)}
	for _, key := range f.Keys() {
		value, _ := f.Get(key)
		if err := r.key(strings.ToLower(key), value); err != nil {
			return nil, fmt.Errorf("%s:%d: %s = %.64q: %w", f.Name(), f.Line(key), key, value, err)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(r.byN)) {
		if r.byN[n].File == "" {
			return nil, fmt.Errorf("%s: machine%d.file is missing", f.Name(), n)
		}
		r.s.Machines = append(r.s.Machines, *r.byN[n])
	}
	if len(r.s.Machines) == 0 {
		return nil, fmt.Errorf("%s: it names no machine (machine0.file = \"NAME.vmx\")", f.Name())
	}
	return &r.s, nil
}

// key takes one key, whose letters are small.
func (r *reader) key(key, value string) (err error) {
	s := &r.s
	switch key {
	case ".encoding":
	case "hotkey":
		s.Hotkey = value
	case "end":
		s.End, err = oneOf(value, PowerOff, Suspend)
	case "screen.window":
		s.Screen.Window, err = yes(value)
	case "screen.fullscreen":
		s.Screen.FullScreen, err = yes(value)
	case "screen.web":
		s.Screen.Web = address(value)
	case "screen.vnc":
		s.Screen.VNC = address(value)
	case "screen.output":
		s.Screen.Output = address(value)
	case "kiosk":
		s.Kiosk, err = yes(value)
	case "kiosk.keys":
		s.Keys = value
	case "screen.vncpassword":
		s.Screen.VNCPassword = r.path(value)
	default:
		return r.machineKey(key, value)
	}
	return err
}

func (r *reader) machineKey(key, value string) (err error) {
	number, word, ok := strings.Cut(strings.TrimPrefix(key, "machine"), ".")
	n, nerr := strconv.ParseUint(number, 10, 16)
	if !ok || !strings.HasPrefix(key, "machine") || nerr != nil {
		return errUnknown
	}
	m := r.byN[n]
	if m == nil {
		if len(r.byN) == MaxMachines {
			return fmt.Errorf("a session has at most %d machines", MaxMachines)
		}
		m = &Machine{}
		r.byN[n] = m
	}
	switch word {
	case "file":
		if value == "" {
			return fmt.Errorf("a file's name is needed")
		}
		m.File = r.path(value)
	case "restart":
		m.Restart, err = oneOf(value, Never, Failed, Always)
	case "end":
		m.End, err = oneOf(value, PowerOff, Suspend)
	case "memory":
		m.Args = append(m.Args, "--mem="+value)
	case "processors":
		m.Args = append(m.Args, "--cpus="+value)
	case "cold", "snapshot":
		on, err := yes(value)
		if err != nil {
			return err
		}
		if on {
			m.Args = append(m.Args, "--"+word)
		}
	case "from":
		m.Args = append(m.Args, "--from="+value)
	default:
		return errUnknown
	}
	return err
}

var errUnknown = fmt.Errorf("there is no such key (vmm session --help lists them)")

// path is a file's name as seen from the folder of the session's file.
func (r *reader) path(name string) string {
	if filepath.IsAbs(name) || name == "" {
		return name
	}
	return filepath.Join(r.folder, name)
}

// address is a value that may be TRUE or FALSE as well.
func address(value string) string {
	if on, err := yes(value); err == nil {
		if on {
			return Default
		}
		return ""
	}
	return value
}

func yes(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0", "":
		return false, nil
	}
	return false, fmt.Errorf("want TRUE or FALSE")
}

func oneOf[T ~string](value string, all ...T) (T, error) {
	if t := T(strings.ToLower(value)); slices.Contains(all, t) {
		return t, nil
	}
	var names []string
	for _, t := range all {
		names = append(names, string(t))
	}
	return "", fmt.Errorf("want %s", strings.Join(names, " or "))
}
