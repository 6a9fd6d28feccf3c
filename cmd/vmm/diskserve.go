package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/disk/nbd"
	"github.com/sharevm/vmm/disk/volatile"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

// servePatience is how long requests in flight may take once the server has been told to end; a client may not be reading its replies.
const servePatience = 10 * time.Second

// serveOptions are the flags of vmm disk serve.
type serveOptions struct {
	open     openFlags
	at       exportAddress
	readOnly bool
	snapshot bool
	name     string
	once     bool
	asJSON   bool
}

func newDiskServe() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve FILE",
		Short: "Offer an image to other programs as a network block device (NBD)",
		Long: `Serves the disk FILE, its parents included, by the NBD protocol, which qemu, nbdcopy, guestfish and the Linux kernel speak: to them it is a
raw disk, whatever its format. Several clients may use it at a time.

It listens on a Unix socket that only you can connect to, in $XDG_RUNTIME_DIR or beside the image, until Ctrl-C; then it finishes what is in
flight, and closes the image properly. NBD has no passwords: with --listen, all users and programs of this host can use the disk.`,
		Example: `  vmm disk serve windows.vmdk --read-only
  vmm disk serve windows.vhdx --snapshot --socket /tmp/w.sock
  vmm disk serve data.vhdx --listen 127.0.0.1:10809 --name data
  vmm disk serve --json --once data.vmdk | jq -r .uri`,
		Args:              operands(1, 1),
		ValidArgsFunction: completeImages(1),
		RunE:              func(c *cobra.Command, args []string) error { return o.run(c, args[0]) },
	}
	o.open.add(c, "format")
	f := c.Flags()
	f.StringVar(&o.at.socket, "socket", "", "Unix socket to listen on: a `PATH` that does not exist")
	f.StringVar(&o.at.tcp, "listen", "", "listen on a TCP `ADDRESS` of this host instead, such as 127.0.0.1:10809")
	f.BoolVar(&o.at.anywhere, "listen-anywhere", false, "allow --listen to name an address that other hosts can reach")
	f.BoolVar(&o.readOnly, "read-only", false, "refuse writes, and let others read the image meanwhile")
	f.BoolVar(&o.snapshot, "snapshot", false, "keep writes in a temporary file and forget them at the end; the image stays as it is")
	f.StringVar(&o.name, "name", "", "the export's `NAME`; clients may leave it out")
	f.BoolVar(&o.once, "once", false, "end when the last client has gone")
	f.BoolVar(&o.asJSON, "json", false, "print the address as JSON")
	return c
}

func (o *serveOptions) run(c *cobra.Command, path string) (err error) {
	if err := errors.Join(exclude(c, "socket", "listen"), exclude(c, "read-only", "snapshot")); err != nil {
		return err
	}
	if err := o.at.check(); err != nil {
		return &exitError{exitUsage, usageError(c, err)}
	}
	i, err := openToUse(c, &o.open, path, !o.readOnly, o.snapshot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	s, err := nbd.NewServer(nbd.Export{
		Name: o.name, Description: i.Info().Format + " image", Image: i, ReadOnly: i.Info().ReadOnly,
	}, nbd.Options{Logger: logger(c)})
	if err != nil {
		return err
	}
	l, err := o.at.listen(path)
	if err != nil {
		return err
	}
	if o.at.anywhere && o.at.tcp != "" {
		warn(c, []string{"anybody who can reach " + l.Addr().String() + " can use this disk: NBD asks for no password"})
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	if err := o.announce(c, i, l.Addr()); err != nil {
		return errors.Join(err, stopServing(s, ended))
	}
	idle := s.Idle()
	if !o.once {
		idle = nil
	}
	select {
	case <-c.Context().Done():
	case <-idle:
	case err := <-ended:
		ended <- nbd.ErrServerClosed
		return errors.Join(err, stopServing(s, ended))
	}
	return stopServing(s, ended)
}

// stopServing ends a server and returns what went wrong.
func stopServing(s *nbd.Server, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), servePatience)
	defer cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("a client did not take its replies within %v, and was cut off", servePatience)
	}
	if e := <-ended; !errors.Is(e, nbd.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// announce says where the disk can be found.
func (o *serveOptions) announce(c *cobra.Command, i disk.Image, at net.Addr) error {
	uri, info := exportURI(at, o.name), i.Info()
	if o.asJSON {
		socket := ""
		if at.Network() == "unix" {
			socket = at.String()
		}
		return writeJSON(c, struct {
			URI      string `json:"uri"`
			Socket   string `json:"socket,omitempty"`
			Name     string `json:"name"`
			Path     string `json:"path"`
			Format   string `json:"format"`
			Size     int64  `json:"size"`
			ReadOnly bool   `json:"read_only"`
			Snapshot bool   `json:"snapshot"`
		}{uri, socket, o.name, info.Path, info.Format, i.Size(), info.ReadOnly, o.snapshot})
	}
	mode := ""
	switch {
	case o.snapshot:
		mode = ", what is written is forgotten at the end"
	case info.ReadOnly:
		mode = ", read-only"
	}
	out := c.OutOrStdout()
	fmt.Fprintf(out, "%s: %s, %s%s\n", printable(info.Path), info.Format, size.Format(i.Size()), mode)
	fmt.Fprintln(out, uri)
	_, err := fmt.Fprintf(out, "for example: qemu-img info '%s'; Ctrl-C ends it\n", strings.ReplaceAll(uri, "'", `'\''`))
	return err
}

// openToUse opens an image for a command that lets others use it: for reading, for writing, or with writes that are thrown away.
func openToUse(c *cobra.Command, flags *openFlags, path string, write, snapshot bool) (disk.Image, error) {
	o := flags.options(c)
	o.ReadOnly = !write || snapshot
	i, err := formats.Open(path, o)
	if err != nil {
		return nil, err
	}
	warn(c, i.Info().Warnings)
	if !snapshot {
		return i, nil
	}
	v, err := volatile.New(i, "")
	if err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return v, nil
}
