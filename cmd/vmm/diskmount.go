package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sharevm/vmm/disk/fuse"
	"github.com/sharevm/vmm/internal/size"
	"github.com/spf13/cobra"
)

// mountOptions are the flags of vmm disk mount.
type mountOptions struct {
	open      openFlags
	readWrite bool
	snapshot  bool
	asJSON    bool
}

func newDiskMount() *cobra.Command {
	var o mountOptions
	c := &cobra.Command{
		Use:   "mount FILE PLACE",
		Short: "Show an image as a raw file (FUSE)",
		Long: `Shows the disk FILE, its parents included, as a raw file of the disk's size: in the folder PLACE under the image's name with ".raw" behind it,
or in the place of the file PLACE. Both must be there, and a folder be empty. Programs that know nothing of disk formats can then look into it: fdisk, mount -o loop, debugfs, testdisk.

It stays until Ctrl-C or "fusermount3 -u PLACE", and then closes the image properly. It needs no special rights where fusermount3 is
installed, and only you can see the file. Without --read-write it cannot be written.`,
		Example: `  mkdir w && vmm disk mount windows.vmdk w
  fdisk -l w/windows.vmdk.raw
  touch disk.raw && vmm disk mount --read-write data.vhdx disk.raw
  vmm disk mount --snapshot windows.vhdx w`,
		Args: operands(2, 2),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return completeImages(1)(c, args, typed)
		},
		RunE: func(c *cobra.Command, args []string) error { return o.run(c, args[0], args[1]) },
	}
	o.open.add(c, "format")
	f := c.Flags()
	f.BoolVar(&o.readWrite, "read-write", false, "let the file be written, and the image with it")
	f.BoolVar(&o.snapshot, "snapshot", false, "let the file be written, but forget that at the end; the image stays as it is")
	f.BoolVar(&o.asJSON, "json", false, "print where the file is as JSON")
	return c
}

func (o *mountOptions) run(c *cobra.Command, path, place string) (err error) {
	if err := exclude(c, "read-write", "snapshot"); err != nil {
		return err
	}
	i, err := openToUse(c, &o.open, path, o.readWrite, o.snapshot)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	info := i.Info()
	m, err := fuse.New(i, place, fuse.Options{ReadOnly: info.ReadOnly, Logger: logger(c)})
	if err != nil {
		return err
	}
	if o.asJSON {
		err = writeJSON(c, struct {
			Path     string `json:"path"`
			File     string `json:"file"`
			Size     int64  `json:"size"`
			ReadOnly bool   `json:"read_only"`
			Snapshot bool   `json:"snapshot"`
		}{info.Path, m.File(), i.Size(), info.ReadOnly, o.snapshot})
	} else {
		mode := "read-only"
		switch {
		case o.snapshot:
			mode = "what is written is forgotten at the end"
		case !info.ReadOnly:
			mode = "can be written"
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s; Ctrl-C ends it\n", printable(m.File()), size.Format(i.Size()), mode)
	}
	if err == nil {
		select {
		case <-m.Done():
			return nil
		case <-c.Context().Done():
		}
	}
	return errors.Join(err, unmount(c, m))
}

// unmount ends m. If programs have the file open, it waits for them, until it is told to end once more.
func unmount(c *cobra.Command, m *fuse.Mount) error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, wanted(syscall.SIGTERM, os.Interrupt)...)
	defer signal.Stop(again)
	err := m.Unmount()
	if err == nil {
		return nil
	}
	if e := m.Detach(); e != nil {
		return errors.Join(err, e)
	}
	warn(c, []string{m.File() + " is open in another program; waiting for it, or for another Ctrl-C"})
	select {
	case <-m.Done():
		return nil
	case <-again:
		return fmt.Errorf("%s: ended while another program had it open", m.File())
	}
}
