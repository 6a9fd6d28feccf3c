package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newMan prints one manual page for the whole tree, in man(7) macros. It is generated so that it cannot differ from --help.
func newMan(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "man",
		Short:   "Print the manual page",
		Example: "  vmm man | man -l -\n  vmm man > /usr/local/share/man/man1/vmm.1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return writeMan(c.OutOrStdout(), root)
		},
	}
}

func writeMan(w io.Writer, root *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH VMM 1 \"\" \"vmm %s\" \"User Commands\"\n.SH NAME\nvmm \\- %s\n.SH SYNOPSIS\n.B vmm\n.I COMMAND\n[OPTIONS]\n.SH DESCRIPTION\n%s\n", roff(version), roff(root.Short), roff(root.Long))
	b.WriteString(".SH COMMANDS\n")
	manCommands(&b, root)
	b.WriteString(".SH OPTIONS OF ALL COMMANDS\n")
	manFlags(&b, root.PersistentFlags())
	fmt.Fprintf(&b, ".SH EXIT STATUS\n.TP\n0\nIt worked.\n.TP\n%d\nIt failed; a line on standard error says why.\n.TP\n%d\nThe command line makes no sense.\n.TP\n%d\nThis host's KVM cannot run the machine; \\-\\-nested can.\n.PP\n.B vmm nested\nexits with the command's own status, or 125 when the nested host itself failed.\n", exitFailed, exitUsage, exitNoKVM)
	_, err := io.WriteString(w, b.String())
	return err
}

// manCommands writes a section for each command below parent.
func manCommands(b *strings.Builder, parent *cobra.Command) {
	for _, c := range parent.Commands() {
		if c.Hidden || c.Name() == "help" {
			continue
		}
		about := c.Long
		if about == "" {
			about = c.Short
		}
		fmt.Fprintf(b, ".SS %s\n%s\n", roff(strings.TrimPrefix(c.UseLine(), "vmm ")), roff(about))
		manFlags(b, c.LocalFlags())
		if c.Example != "" {
			fmt.Fprintf(b, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", roff(c.Example))
		}
		manCommands(b, c)
	}
}

func manFlags(b *strings.Builder, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		b.WriteString(".TP\n\\fB")
		if f.Shorthand != "" {
			b.WriteString("\\-" + f.Shorthand + ", ")
		}
		kind, usage := pflag.UnquoteUsage(f)
		b.WriteString("\\-\\-" + roff(f.Name) + "\\fR")
		if kind != "" {
			b.WriteString(" \\fI" + roff(kind) + "\\fR")
		}
		b.WriteString("\n" + roff(usage) + "\n")
	})
}

// roff escapes text so that troff takes it literally.
func roff(s string) string {
	s = strings.ReplaceAll(s, "\\", "\\e")
	s = strings.ReplaceAll(s, "-", "\\-")
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = "\\&" + l
		}
	}
	return strings.Join(lines, "\n")
}
