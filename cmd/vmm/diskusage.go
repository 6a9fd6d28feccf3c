package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// operands accepts from least to most arguments, and otherwise says which ones the command takes.
func operands(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			_, wanted, _ := strings.Cut(c.Use, " ")
			s := "s"
			if n == 1 {
				s = ""
			}
			return fmt.Errorf("%s takes %s, and not %d argument%s", c.Name(), wanted, n, s)
		}
		return nil
	}
}

// exclude refuses a command line that has both options.
func exclude(c *cobra.Command, a, b string) error {
	if c.Flags().Changed(a) && c.Flags().Changed(b) {
		return &exitError{exitUsage, usageError(c, fmt.Errorf("--%s and --%s exclude each other", a, b))}
	}
	return nil
}

// formatOptions names the command's options that say a format.
func formatOptions(c *cobra.Command) (names []string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if value, _ := pflag.UnquoteUsage(f); value == "FORMAT" {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}
