package main

import (
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/sharevm/vmm/display/x11"
)

const x11Relay = "x11-relay"

// newX11Relay is the process that carries one connection from the nested host to this host's X server. It has a socket for standard streams, all three, so that it must not complain.
func newX11Relay() *cobra.Command {
	return &cobra.Command{
		Use: x11Relay, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			conn, err := net.FileConn(os.Stdin)
			if err != nil || x11.Relay(conn, "") != nil {
				return &exitError{exitFailed, nil}
			}
			return nil
		},
	}
}

// toDisplay is the command by which programs in the nested host reach the X server of $DISPLAY.
func toDisplay() ([]string, error) {
	self, err := os.Executable()
	return []string{self, x11Relay}, err
}
