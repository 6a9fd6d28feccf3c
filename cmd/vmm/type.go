package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/display/input"
	"github.com/sharevm/vmm/machine/control"
)

func newKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key MACHINE KEY...",
		Short: "Press keys of a running machine",
		Long: `Presses keys on the guest's keyboard, one argument after the other. Keys that are held together are joined by "-". Names are those on a US
keyboard, whatever the guest's layout makes of them: a, 5, f4, enter, esc, tab, space, left, pageup, delete, leftctrl or ctrl, alt, shift, win, minus.`,
		Example:           "  vmm key windows ctrl-alt-delete\n  vmm key debian down down enter",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			for _, k := range args[1:] {
				if _, err := input.Chord(k); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			for _, k := range args[1:] {
				if err := client.Press(c.Context(), k); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newType() *cobra.Command {
	var enter bool
	c := &cobra.Command{
		Use:   "type MACHINE TEXT...",
		Short: "Type text into a running machine",
		Long: `Types text on the guest's keyboard as on a US one: a guest with another layout gets other characters. Arguments are separated by a space.
A line feed in the text presses Enter.`,
		Example:           "  vmm type debian --enter 'ls -l'",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			text := strings.Join(args[1:], " ")
			if enter {
				text += "\n"
			}
			if _, err := input.Text(text); err != nil {
				return &exitError{exitUsage, err}
			}
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			return client.Type(c.Context(), text)
		},
	}
	c.Flags().BoolVar(&enter, "enter", false, "press Enter at the end")
	return c
}

func newMouse() *cobra.Command {
	var size string
	var p control.Pointer
	c := &cobra.Command{
		Use:   "mouse MACHINE [X,Y]",
		Short: "Move the pointer of a running machine, and click",
		Long: `Moves the guest's pointer to a pixel of a screen of --size, or without --size by so many pixels. Then turns the wheel and clicks, if told to.
A place can be hit exactly where the guest has a tablet; a mouse's motion the guest may speed up.`,
		Example:           "  vmm mouse debian 400,300 --size 800x600 --click left",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if len(args) > 1 {
				if p.X, p.Y, err = pair(args[1], ","); err != nil {
					return &exitError{exitUsage, err}
				}
			}
			if size != "" {
				if p.Width, p.Height, err = pair(size, "x"); err != nil || p.Width <= 0 || p.Height <= 0 || len(args) < 2 {
					return &exitError{exitUsage, fmt.Errorf("--size %q: want WIDTHxHEIGHT, and a place on it", size)}
				}
			}
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			return client.Point(c.Context(), p)
		},
	}
	f := c.Flags()
	f.StringVar(&size, "size", "", "`WIDTHxHEIGHT` of the screen that X,Y is a place on")
	f.StringVar(&p.Click, "click", "", "`BUTTON` to click: left, right or middle")
	f.IntVar(&p.Wheel, "wheel", 0, "`NOTCHES` to turn the wheel away from the user")
	return c
}

// pair reads two numbers.
func pair(s, separator string) (a, b int, err error) {
	left, right, _ := strings.Cut(s, separator)
	if a, err = strconv.Atoi(left); err == nil {
		b, err = strconv.Atoi(right)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%q: want two numbers with %q between them", s, separator)
	}
	return a, b, nil
}
