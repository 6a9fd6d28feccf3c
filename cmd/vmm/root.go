package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
)

// rootFor builds as much of the command tree as the arguments need: a machine's process lives long, and runs one of many commands.
func rootFor(args []string) *cobra.Command {
	if len(args) > 0 && args[0] == "run" {
		return rootOf(func(*cobra.Command) []*cobra.Command { return []*cobra.Command{newRun()} })
	}
	return newRoot()
}

// newRoot builds the command tree.
func newRoot() *cobra.Command {
	return rootOf(func(root *cobra.Command) []*cobra.Command {
		return []*cobra.Command{
			newRun(), newPS(), newTop(), newConsole(), newLogs(), newStop(), newReset(), newPause(), newResume(), newKey(), newType(), newMouse(), newLimit(), newLink(),
			newScreenshot(), newSession(), newSnapshot(), newSuspend(), newInstant(), newImage(), newLint(), newDoctor(), newDisk(), newNested(), newVersion(), newMan(root),
			newConsoleGuard(), newX11Relay(),
		}
	})
}

// rootOf is the root of a tree with these commands.
func rootOf(commands func(root *cobra.Command) []*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "vmm",
		Short: "Run VMware and Hyper-V machines as they are, on KVM",
		Long: `vmm runs virtual machines from their own folders (.vmx with .vmdk, .vhd or raw disks) on KVM, without conversion
and without added drivers, and leaves them fit to go back.`,
		Example: `  vmm run chromeos.vmx              run a machine, its console on this terminal
  vmm ps                            the machines that run, and what they have done
  vmm lint windows.vmx              what of a .vmx is honoured, and what is not
  vmm doctor                        what this host can run, and what to do where it can't
  vmm disk convert win.vmdk w.vhdx  disk images in and out of every format
  vmm nested -- go test ./...       real KVM inside QEMU, on hosts that have none`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, usageError(c, err)}
	})
	root.PersistentFlags().CountP("verbose", "v", "say more on standard error; twice for debugging")
	root.AddCommand(commands(root)...)
	for _, c := range root.Commands() {
		c.Args = usageArgs(c.Args)
	}
	return root
}

// usageArgs gives errors about arguments the exit code of a wrong command line, and a hint.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &exitError{exitUsage, usageError(c, err)}
		}
		return nil
	}
}

type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() + "; see " + e.hint }
func (e *hintError) Unwrap() error { return e.err }

func usageError(c *cobra.Command, err error) error {
	return &hintError{err, c.CommandPath() + " --help"}
}

// logger writes to standard error what -v asks for.
func logger(c *cobra.Command) *slog.Logger { return loggerTo(os.Stderr, c) }

// loggerTo is a logger that writes to w.
func loggerTo(w io.Writer, c *cobra.Command) *slog.Logger {
	level := slog.LevelWarn
	switch n, _ := c.Flags().GetCount("verbose"); {
	case n == 1:
		level = slog.LevelInfo
	case n > 1:
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: dropTime}))
}

// dropTime leaves out the time, which a person at a terminal knows.
func dropTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
