package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newDiskResize() *cobra.Command {
	var (
		open   openFlags
		o      tools.ResizeOptions
		less   string // what was typed behind a minus sign
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "resize FILE SIZE|+SIZE|-SIZE",
		Short: "Make a disk larger, or cut off what it does not use at its end",
		Long: `Changes the capacity of an image in place, to SIZE or by so much. What is added reads as zeroes.

A disk gets smaller only if nothing is lost: no partition may reach into what is cut off, and there may be no data. The copy of the partition
table that a GPT keeps at the disk's end moves along both ways.

Partitions and file systems stay as they are: with a larger disk the command says what is left to do in the guest. An image that others are based on
is refused. The command can be interrupted at any moment, and repeated.`,
		Example: `  vmm disk resize windows.vmdk 120G
  vmm disk resize data.vhdx +20G
  vmm disk resize data.vhdx -512M --dry-run
  vmm disk resize --json data.qcow2 +1.5T`,
		Args:              operands(1, 2),
		ValidArgsFunction: completeImages(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			typed := ""
			switch {
			case len(args) == 2 && less == "":
				typed = args[1]
			case len(args) == 1 && less != "":
				typed = "-" + less
			default:
				return &exitError{exitUsage, usageError(c, errors.New("SIZE is missing, or there is more than one"))}
			}
			if o.Size, err = parseResize(typed); err != nil {
				return &exitError{exitUsage, usageError(c, err)}
			}
			bars := newBars(c, !asJSON)
			o.Open, o.Looking = open.options(c), bars.step("looking")
			r, err := tools.Resize(c.Context(), args[0], o)
			bars.end()
			if err != nil {
				return unfinished(err, o.DryRun)
			}
			return sayResized(c, args[0], r, o.DryRun, asJSON)
		},
	}
	open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&o.DryRun, "dry-run", false, "say whether it can be done, and change nothing")
	f.BoolVar(&asJSON, "json", false, "print JSON, and no progress")
	addMinus(f, &less)
	return c
}

// minus takes what was typed behind a minus sign and a digit, such as the 0G of -20G, which looks like an option.
type minus struct {
	digit string
	text  *string
}

func (m minus) String() string     { return "" }
func (m minus) Type() string       { return "SIZE" }
func (m minus) Set(s string) error { *m.text = m.digit + s; return nil }

// addMinus has sizes with a minus sign taken as what they are.
func addMinus(f *pflag.FlagSet, text *string) {
	for _, digit := range strings.Split("0123456789", "") {
		name := "less-" + digit
		f.VarP(minus{digit, text}, name, digit, "")
		_ = f.MarkHidden(name)
	}
}

// parseResize reads a size with or without a sign.
func parseResize(s string) (func(int64) (int64, error), error) {
	sign, text := "", s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign, text = s[:1], s[1:]
	}
	n, err := size.Parse(text)
	if err != nil {
		return nil, err
	}
	return func(now int64) (int64, error) {
		switch {
		case sign == "+":
			return now + n, nil
		case sign == "-" && n > now:
			return 0, fmt.Errorf("the disk has %s, and cannot lose %s", size.Format(now), size.Format(n))
		case sign == "-":
			return now - n, nil
		}
		return n, nil
	}, nil
}

// unfinished says what an interrupted change in place left: nothing is undone, and nothing is broken.
func unfinished(err error, dryRun bool) error {
	if !dryRun && errors.Is(err, context.Canceled) {
		return errors.New("interrupted; the image is sound, and the command can be repeated")
	}
	return err
}

func sayResized(c *cobra.Command, path string, r *tools.Resized, dryRun, asJSON bool) error {
	if asJSON {
		return writeJSON(c, struct {
			Path     string   `json:"path"`
			Before   int64    `json:"before"`
			After    int64    `json:"after"`
			MovedGPT bool     `json:"moved_gpt"`
			DryRun   bool     `json:"dry_run,omitempty"`
			Advice   []string `json:"advice,omitempty"`
			Warnings []string `json:"warnings,omitempty"`
		}{path, r.Before, r.After, r.MovedGPT, dryRun, r.Advice, r.Warnings})
	}
	warn(c, r.Warnings)
	verb, end := "now has", ""
	if dryRun {
		verb, end = "would have", "; nothing was changed"
	}
	if r.MovedGPT {
		end = "; the partition table's copy belongs at the new end" + end
		if !dryRun {
			end = "; the partition table's copy went to the new end"
		}
	}
	if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: %s %s, had %s%s\n", printable(path), verb, size.Format(r.After), size.Format(r.Before), end); err != nil {
		return err
	}
	for _, a := range r.Advice {
		if _, err := fmt.Fprintln(c.OutOrStdout(), printable(a)); err != nil {
			return err
		}
	}
	return nil
}
