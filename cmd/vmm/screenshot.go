package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func newScreenshot() *cobra.Command {
	var file string
	var screen int
	c := &cobra.Command{
		Use:   "screenshot MACHINE",
		Short: "Write what a running machine shows as a PNG",
		Long: `Writes a PNG of what a machine's screen shows now, text screens and the pointer included. vmm ps lists the machines that run.
Without -o the file is called after the machine, MACHINE.png.`,
		Example:           "  vmm screenshot windows\n  vmm screenshot windows -o boot.png\n  vmm screenshot windows --screen 1 -o - | display -",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			png, err := client.Screenshot(c.Context(), screen)
			if err != nil {
				return err
			}
			switch file {
			case "-":
				_, err = c.OutOrStdout().Write(png)
				return err
			case "":
				file = client.ID + ".png"
			}
			if err := os.WriteFile(file, png, 0o644); err != nil {
				return fmt.Errorf("write the picture: %w", err)
			}
			return nil
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "file to write; - is standard output")
	c.Flags().IntVar(&screen, "screen", 0, "which of several screens")
	return c
}
