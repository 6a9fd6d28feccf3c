package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"unicode"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/spf13/cobra"
)

// newDisk is the family of commands on disk images.
func newDisk() *cobra.Command {
	c := &cobra.Command{
		Use:   "disk",
		Short: "Look at, make, convert and check disk images",
		Long: `Works on disk images without a machine: raw, VMware (.vmdk), Hyper-V and Virtual PC (.vhdx, .vhd), VirtualBox (.vdi) and qcow2.

An image's format is what the file's name ends in, or what an option says; it is never guessed from the contents. Sizes are written
512M, 80G, 1.5T.`,
		Example: `  vmm disk info windows.vmdk
  vmm disk create data.vhdx 80G
  vmm disk convert windows.vmdk windows.vhdx --verify
  vmm disk check --json windows.vhd`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDiskInfo(), newDiskCreate(), newDiskConvert(), newDiskCheck(), newDiskCompare(), newDiskMap(), newDiskServe(), newDiskMount())
	c.AddCommand(newDiskOverlay(), newDiskCommit(), newDiskRebase(), newDiskFlatten(), newDiskTree())
	c.AddCommand(newDiskResize(), newDiskCompact(), newDiskDefrag())
	for _, sub := range c.Commands() {
		sub.Args = usageArgs(sub.Args)
		sub.RunE = plainErrors(interruptible(sub.RunE))
	}
	return c
}

// interruptible has the command's context end at Ctrl-C too, unless whoever started the program has it ignore that.
func interruptible(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if !signal.Ignored(os.Interrupt) {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
			defer stop()
			c.SetContext(ctx)
		}
		return run(c, args)
	}
}

// plainErrors makes what an image's contents put into an error fit for a terminal, and adds what to do about the usual ones.
func plainErrors(run func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		err := run(c, args)
		var exit *exitError
		if err == nil || errors.As(err, &exit) && exit.err == nil {
			return err
		}
		return &diskError{err, c}
	}
}

type diskError struct {
	err     error
	command *cobra.Command
}

func (e *diskError) Unwrap() error { return e.err }

func (e *diskError) Error() string {
	s := printable(e.err.Error())
	switch {
	case errors.Is(e.err, context.Canceled):
		return "interrupted; nothing was changed"
	case errors.Is(e.err, disk.ErrOutside):
		return s + "; --allow-outside allows it"
	case errors.Is(e.err, disk.ErrStaleParent):
		return s + " (--allow-stale-parent)"
	case errors.Is(e.err, formats.ErrUnnamed):
		return s + "; say it by " + strings.Join(formatOptions(e.command), " or ")
	case errors.Is(e.err, disk.ErrLocked) && e.command.Flags().Lookup("shared") != nil:
		return s + "; --shared looks at it nevertheless"
	}
	return s
}

// printable shows control characters, which a terminal might obey, by their codes.
func printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// openFlags are the options of commands that open an image.
type openFlags struct {
	format       string
	allowOutside bool
	allowStale   bool
}

// add adds the flags to c; format is the name of the one that names the format.
func (o *openFlags) add(c *cobra.Command, format string) {
	f := c.Flags()
	f.StringVar(&o.format, format, "", "the image's `FORMAT`, if its name does not tell")
	f.BoolVar(&o.allowOutside, "allow-outside", false, "let images name files outside their own folder; only if you trust them")
	f.BoolVar(&o.allowStale, "allow-stale-parent", false, "read chains whose parent has changed; the contents may be nonsense")
	_ = c.RegisterFlagCompletionFunc(format, completeFormats)
}

func (o *openFlags) options(c *cobra.Command) disk.OpenOptions {
	return disk.OpenOptions{
		ReadOnly: true, Format: o.format, AllowOutside: o.allowOutside, AllowStaleParent: o.allowStale, Logger: diskLogger(c),
	}
}

// diskLogger logs only with -v: what matters to everybody is among an image's warnings, which the commands print themselves.
func diskLogger(c *cobra.Command) *slog.Logger {
	if n, _ := c.Flags().GetCount("verbose"); n == 0 {
		return nil
	}
	return logger(c)
}

// completeImages returns a completion of up to n images.
func completeImages(n int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return imageExtensions(), cobra.ShellCompDirectiveFilterFileExt
	}
}

func imageExtensions() (list []string) {
	for _, f := range formats.All() {
		for _, e := range f.Extensions {
			list = append(list, strings.TrimPrefix(e, "."))
		}
	}
	return list
}

func completeFormats(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, f := range formats.All() {
		names = append(names, f.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// variantsHelp lists each format's variants, the default first.
func variantsHelp() string {
	var b strings.Builder
	for _, f := range formats.All() {
		if len(f.Variants) > 0 {
			fmt.Fprintf(&b, "\n  %-6s %s", f.Name, strings.Join(f.Variants, ", "))
		}
	}
	return b.String()
}

// addVariant adds the flag that names a variant of the format that an argument or the flag called format says.
func addVariant(c *cobra.Command, variant *string, format string, argument int) {
	c.Flags().StringVar(variant, "variant", "", "`VARIANT` of the format: see above (default: the first)")
	_ = c.RegisterFlagCompletionFunc("variant", func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		name, _ := c.Flags().GetString(format)
		path := ""
		if len(args) > argument {
			path = args[argument]
		}
		f, err := formats.Find(path, name)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.Variants, cobra.ShellCompDirectiveNoFileComp
	})
}

// writeJSON prints v for programs.
func writeJSON(c *cobra.Command, v any) error { return json.NewEncoder(c.OutOrStdout()).Encode(v) }

// warn prints remarks on standard error.
func warn(c *cobra.Command, remarks []string) {
	for _, w := range remarks {
		fmt.Fprintf(c.ErrOrStderr(), "vmm: warning: %s\n", printable(w))
	}
}
