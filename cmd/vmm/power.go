package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/machine/control"
)

func newStop() *cobra.Command {
	var hard bool
	var wait time.Duration
	c := &cobra.Command{
		Use:   "stop MACHINE",
		Short: "Shut a running machine down",
		Long: `Presses the machine's power button and waits until the guest has shut down. --hard takes the power away at once: what the guest has not
written to its disks is lost.`,
		Example:           "  vmm stop windows\n  vmm stop --hard --wait 0 debian",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			if _, err := client.Stop(c.Context(), hard); err != nil {
				if !hard {
					err = fmt.Errorf("%w; vmm stop --hard takes its power away", err)
				}
				return err
			}
			return awaitEnd(c.Context(), client, wait)
		},
	}
	c.Flags().BoolVar(&hard, "hard", false, "take the power away")
	c.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how `LONG` to wait for the end; 0 does not wait")
	return c
}

// awaitEnd waits until the machine is gone.
func awaitEnd(ctx context.Context, client control.Client, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := findMachine(client.ID); errors.Is(err, control.ErrNoMachine) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("machine %s still runs after %v; vmm stop --hard takes its power away", client.ID, wait)
		}
	}
}

func newReset() *cobra.Command {
	return powerCommand("reset", "Start a running machine anew, as its reset button does",
		"Resets the machine at once: what the guest has not written to its disks is lost.",
		func(ctx context.Context, c control.Client) error { _, err := c.Reset(ctx); return err })
}

func newPause() *cobra.Command {
	return powerCommand("pause", "Stop a running machine until vmm resume",
		"Stops the guest between two instructions. It uses no processor time until vmm resume lets it go on; its memory stays.",
		func(ctx context.Context, c control.Client) error { _, err := c.SetPaused(ctx, true); return err })
}

func newResume() *cobra.Command {
	return powerCommand("resume", "Let a machine go on that vmm pause stopped", "Lets the guest go on where vmm pause stopped it.",
		func(ctx context.Context, c control.Client) error { _, err := c.SetPaused(ctx, false); return err })
}

// powerCommand is a command that does something to a machine.
func powerCommand(name, short, long string, do func(context.Context, control.Client) error) *cobra.Command {
	return &cobra.Command{
		Use: name + " MACHINE", Short: short, Long: long, Example: "  vmm " + name + " windows",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, err := findMachine(args[0])
			if err != nil {
				return err
			}
			return do(c.Context(), client)
		},
	}
}
