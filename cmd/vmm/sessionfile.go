package main

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config/sessionfile"
	"github.com/sharevm/vmm/session"
)

// sessionFileHelp describes session files.
const sessionFileHelp = `
A session file holds the same in lines of KEY = "VALUE", as a .vmx does, file names as seen from its folder; options on the command line come before it:

  hotkey = "f4"                        the key that turns
  end = "suspend"                      or "poweroff": how machines end with the session
  screen.fullscreen = "TRUE"           or screen.window; screen.web, screen.vnc (TRUE or an address), screen.vncPassword (a file); screen.output (TRUE or its name)
  kiosk = "TRUE"                       for a console that others use; kiosk.keys: the keys that they have
  machine0.file = "chromeos.vmx"       machines in the order of their numbers, the first in front
  machine0.restart = "always"          or "failed", "never": when it starts again by itself
  machine1.file = "windows.vmx"
  machine1.end = "suspend"             where it differs from the others
  machine1.memory = "4G"               or .processors, .cold, .snapshot, .from: as the options of vmm run`

// takeFile reads the session file that is the only argument, if it is one, and returns the machines' files. What the command line says stays.
func (fl *sessionFlags) takeFile(c *cobra.Command, args []string) (files []string, err error) {
	isFile := func(name string) bool { return strings.HasSuffix(strings.ToLower(name), sessionfile.Suffix) }
	if !slices.ContainsFunc(args, isFile) {
		return args, nil
	}
	if len(args) != 1 {
		return nil, &exitError{exitUsage, errors.New("a session file names all machines of its session: give no other file")}
	}
	s, err := sessionfile.Load(args[0])
	if err != nil {
		return nil, err
	}
	fl.apply(s, c.Flags())
	for _, m := range s.Machines {
		files = append(files, m.File)
	}
	return files, nil
}

// apply takes from a session file what flags leave open.
func (fl *sessionFlags) apply(s *sessionfile.Session, flags *pflag.FlagSet) {
	fl.plan = s.Machines
	if s.Hotkey != "" && !flags.Changed("hotkey") {
		fl.hotkey = s.Hotkey
	}
	if s.End != "" && !flags.Changed("end") {
		fl.end = string(s.End)
	}
	fl.kiosk = fl.kiosk || s.Kiosk && !flags.Changed("kiosk")
	if s.Keys != "" && !flags.Changed("kiosk-keys") {
		fl.keys = s.Keys
	}
	if fl.screen.password == "" {
		fl.screen.password = s.Screen.VNCPassword
	}
	if fl.screen.vnc != "" || fl.screen.web != "" || fl.screen.windowed() || fl.screen.own != "" {
		return
	}
	or := func(address, def string) string {
		if address == sessionfile.Default {
			return def
		}
		return address
	}
	if !flags.Changed("kiosk") { // whose screen is this computer's own
		fl.screen.window, fl.screen.full = s.Screen.Window, s.Screen.FullScreen
		fl.screen.web, fl.screen.vnc = or(s.Screen.Web, defaultWeb), or(s.Screen.VNC, defaultVNC)
	}
	fl.screen.own = or(s.Screen.Output, firstOutput)
}

// planned applies what the session file says of machine i to what is run, and says whether the machine is to be suspended in the end.
func (fl *sessionFlags) planned(i int, s *session.Spec) {
	end := sessionfile.End(fl.end)
	if fl.plan != nil {
		m := &fl.plan[i]
		last := len(s.Args) - 1 // the file
		s.Args = append(append(slices.Clone(s.Args[:last]), m.Args...), s.Args[last])
		s.Restart = session.Restart(m.Restart)
		if m.End != "" {
			end = m.End
		}
	}
	s.PowerOff = end != sessionfile.Suspend
}
