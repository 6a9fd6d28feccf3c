package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/control"
)

func newSuspend() *cobra.Command {
	return &cobra.Command{
		Use:   "suspend MACHINE",
		Short: "Save a running machine to its folder and power it off",
		Long: `Saves a running machine beside its .vmx and powers it off. The next vmm run goes on from there, unless a disk has changed in the meantime;
vmm run --cold starts it anew instead.`,
		Example:           "  vmm suspend windows\n  vmm run windows.vmx",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeMachine,
		RunE: func(c *cobra.Command, args []string) error {
			client, status, err := machineWithFile(c.Context(), args[0])
			if err != nil {
				return err
			}
			return suspend(c.Context(), client, status)
		},
	}
}

// gone is how long a machine may take to close its disks.
const gone = time.Minute

// suspend saves a machine and powers it off. If that fails before everything is saved, it runs on.
func suspend(ctx context.Context, client control.Client, status control.Status) error {
	fd, err := unix.PidfdOpen(status.PID, 0)
	if err != nil {
		return fmt.Errorf("the process of machine %s: %w", client.ID, err)
	}
	process := os.NewFile(uintptr(fd), "process")
	defer process.Close()
	return save(ctx, client, suspendedAt(status.File), status, true, func() error {
		// Closing changes the disks, and how they lie there afterwards is what counts.
		return waitFor(ctx, process, client.ID)
	})
}

// suspendProcess suspends the machine that a process runs.
func suspendProcess(ctx context.Context, pid int) error {
	client, status, err := machineOf(ctx, pid)
	if err != nil {
		return err
	}
	if status.File == "" {
		return fmt.Errorf("machine %s has no .vmx to be saved beside", client.ID)
	}
	return suspend(ctx, client, status)
}

// waitFor waits for the end of a machine's process.
func waitFor(ctx context.Context, process *os.File, id string) error {
	for end := time.Now().Add(gone); time.Now().Before(end); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		const look = 100 // milliseconds
		switch n, err := unix.Poll([]unix.PollFd{{Fd: int32(process.Fd()), Events: unix.POLLIN}}, look); {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for machine %s: %w", id, err)
		case n > 0:
			return nil
		}
	}
	return fmt.Errorf("machine %s has been powered off, and has not closed its disks within %v", id, gone)
}
