package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/drm"
	"github.com/sharevm/vmm/display/drm/vt"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/session"
)

const consoleGuard = "console-guard"

// newConsoleGuard is the process that gives the console back when the one is gone that shows a screen on it.
func newConsoleGuard() *cobra.Command {
	return &cobra.Command{
		Use: consoleGuard + " TERMINAL", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return vt.Guard(args[0]) },
	}
}

// openOwn shows a screen on this computer's own.
func (fl *screenFlags) openOwn(screen frontend.Machine, closed func(), log *slog.Logger) (*drm.Screen, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	c := drm.Config{Machine: screen, Output: fl.own, Guard: []string{self, consoleGuard}, Locked: fl.locked, Closed: closed, Log: log}
	if c.Output == firstOutput {
		c.Output = ""
	}
	return drm.Open(c)
}

// runOnOwn runs a machine as a session of its own: a machine's process is confined, and may not open the keyboards and monitors that are plugged in meanwhile.
func (fl *runFlags) runOnOwn(c *cobra.Command, file string, cfg *config.Machine, messages io.Writer, log *slog.Logger) error {
	s := sessionFlags{end: "poweroff", screen: fl.screen, without: session.AllKeys}
	s.run = withoutOwn(os.Args[1:], file)
	v := config.VNC{} // what the .vmx says of it is for the machine's own process
	if err := s.screen.apply(&v); err != nil {
		return &exitError{exitUsage, err}
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	return s.keep(c.Context(), []string{path}, []*config.Machine{cfg}, session.DefaultHotkey, v, messages, log)
}

// withoutOwn are the options of a vmm run less those that its session sees to: where the screen is shown, and the file.
func withoutOwn(args []string, file string) (options []string) {
	ours := func(a string) bool {
		name, _, _ := strings.Cut(a, "=")
		return slices.Contains([]string{"--screen", "--vnc", "--vnc-password", "--vnc-tls", "--web", "--window", "--fullscreen"}, name)
	}
	command := false
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case !command && a == "run":
			command = true
		case a == "--vnc-password": // its file is the next word
			i++
		case ours(a), a == file:
		default:
			options = append(options, a)
		}
	}
	return options
}
