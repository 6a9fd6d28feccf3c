package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/machine/control"
	"github.com/sharevm/vmm/session"
)

// doorName is what the sockets of sessions are called, in the folder of machines' sockets; * is the number of the process.
const doorName = "session-*.sock"

func newSessionOpen() *cobra.Command {
	return &cobra.Command{
		Use:   "open NAME",
		Short: "Open another window of a machine in the session that runs",
		Long: `Starts another machine like NAME in the session that runs, and brings it to the front; Ctrl-Alt-N does that for the machine in front. The machine has to be one that
forgets what it writes. With a snapshot for instant starts (vmm instant) the window is there in a blink, and shares with the others the memory that neither has
changed. It goes when it is powered off.`,
		Example: "  vmm session open chromeos",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			root, err := control.Root()
			if err != nil {
				return err
			}
			name, err := openWindow(root, args[0])
			if err == nil {
				_, err = fmt.Fprintln(c.OutOrStdout(), name)
			}
			return err
		},
	}
}

// openWindow asks the sessions that run for another window, until one has the machine.
func openWindow(root, name string) (string, error) {
	doors, err := filepath.Glob(filepath.Join(root, doorName))
	if err != nil {
		return "", err
	}
	none := errors.New("no session runs")
	for _, door := range doors {
		window, err := session.Ask(door, name)
		switch {
		case err == nil:
			return window, nil
		case errors.Is(err, unix.ECONNREFUSED): // of one that was killed
			_ = os.Remove(door)
		case errors.Is(err, session.ErrNoMachine):
			none = err
		default:
			return "", err
		}
	}
	return "", none
}

// openDoor has other processes ask the session for windows.
func openDoor(k *session.Keeper) (*session.Door, error) {
	root, err := control.Root()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, "session-"+strconv.Itoa(os.Getpid())+".sock")
	_ = os.Remove(path) // of another process that had the number
	removeDoors(root)
	return session.OpenDoor(path, k.Open)
}

// removeDoors removes the sockets of sessions that were killed.
func removeDoors(root string) {
	doors, _ := filepath.Glob(filepath.Join(root, doorName)) // no pattern but this one, which is right
	for _, door := range doors {
		c, err := net.Dial("unix", door)
		switch {
		case err == nil:
			c.Close()
		case errors.Is(err, unix.ECONNREFUSED):
			_ = os.Remove(door)
		}
	}
}
