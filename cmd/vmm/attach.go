package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/internal/terminal"
	"github.com/sharevm/vmm/machine/control"
)

func newConsole() *cobra.Command {
	var fresh bool
	c := &cobra.Command{
		Use:   "console MACHINE",
		Short: "Join the console of a running machine",
		Long: `Joins the console (serial port and virtio) of a machine that runs without a terminal, in a session or in the background: shows what it printed last, up to 64 KiB, and what it
prints from now on, and types into it. Ctrl-] d leaves it and lets it run; Ctrl-] ? lists the keys. Ctrl-C goes to the guest. Up to four may join at once, beside vmm run's own
terminal.

Where standard input is no terminal, it is typed to its end, and what the machine prints is shown until the machine ends.`,
		Example: `  vmm console windows
  vmm console --fresh debian < /dev/null      watch what it prints`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			return joinConsole(c.Context(), client, !fresh, os.Stdin, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().BoolVar(&fresh, "fresh", false, "leave out what was printed before")
	return c
}

// joinConsole joins a machine's console until the user leaves it or the machine ends.
func joinConsole(ctx context.Context, client control.Client, past bool, in *os.File, out, says io.Writer) error {
	at, err := client.AttachConsole(ctx, past)
	if err != nil {
		return err
	}
	defer at.Close()
	sizes := make(chan control.ConsoleSize, 1)
	term, err := terminal.Raw(in, func(columns, rows uint16) {
		select { // what was not yet told is out of date
		case <-sizes:
		default:
		}
		sizes <- control.ConsoleSize{Columns: columns, Rows: rows}
	})
	if err != nil {
		return err
	}
	defer term.Restore()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for {
			select {
			case size := <-sizes:
				_ = client.ResizeConsole(ctx, size)
			case <-ctx.Done():
				return
			}
		}
	}()
	say := func(text string) { // between what the guest prints
		if term != nil {
			text = strings.ReplaceAll("\n"+text, "\n", "\r\n")
		}
		fmt.Fprint(says, text)
	}
	if term != nil {
		say(fmt.Sprintf("vmm: at the console of %s; Ctrl-] d leaves it, Ctrl-] ? lists the keys\n", client.ID))
	}
	left := make(chan struct{})
	go typeAtConsole(ctx, client, at, in, term != nil, say, func() { close(left) })
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, at)
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-left:
	case <-ctx.Done():
	}
	term.Restore()
	if term != nil && err == nil {
		select {
		case <-left:
			fmt.Fprintf(says, "\nvmm: %s runs on\n", client.ID)
		default:
			fmt.Fprintf(says, "\nvmm: the console of %s has ended\n", client.ID)
		}
	}
	return err
}

// typeAtConsole passes on what the user types until that ends, and does what keys say. leave is called at most once.
func typeAtConsole(ctx context.Context, client control.Client, at *control.Attached, in io.Reader, raw bool, say func(string), leave func()) {
	keys := terminal.Keys{GuestInterrupt: true, Attached: true}
	var guest io.Writer = at
	if raw { // a guest that reads nothing must not hold the keys up
		ahead := newTypeahead(at)
		defer ahead.Close()
		guest = ahead
	}
	buf := make([]byte, 512)
	for detached := false; !detached; {
		n, err := in.Read(buf)
		p := buf[:n]
		if raw {
			p = keys.Filter(p, func(c terminal.Command) {
				var err error
				switch c {
				case terminal.Detach:
					detached = true
				case terminal.Button:
					_, err = client.Stop(ctx, false)
				case terminal.Reset:
					_, err = client.Reset(ctx)
				default:
					say(terminal.AttachedHelp)
				}
				if err != nil {
					say("vmm: " + err.Error() + "\n")
				}
			})
		}
		if len(p) > 0 {
			_, werr := guest.Write(p)
			err = errors.Join(err, werr)
		}
		if detached {
			leave()
		}
		if err != nil {
			return
		}
	}
}
