package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/formats"
	"github.com/sharevm/vmm/images/rootfs"
)

// makeDisk makes an image with a file system, in the format of the path's extension.
func makeDisk(ctx context.Context, path string, c rootfs.Config) error {
	flat := path + ".raw"
	if err := rootfs.Build(ctx, flat, c); err != nil {
		return err
	}
	defer os.Remove(flat)
	return convert(flat, path)
}

// convert makes an image of a raw disk, in the format of the path's extension.
func convert(flat, path string) error {
	from, err := formats.Open(flat, disk.OpenOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer from.Close()
	if err := formats.Create(path, disk.CreateOptions{Size: from.Size()}); err != nil {
		return err
	}
	to, err := formats.Open(path, disk.OpenOptions{})
	if err != nil {
		return err
	}
	return errors.Join(copyDisk(to, from), to.Close())
}

// copyDisk copies everything but zeroes to a new image.
func copyDisk(to, from disk.Image) error {
	const step = 64 << 10 // a grain of a VMDK
	buf, zero := make([]byte, step), make([]byte, step)
	var failed error
	err := from.Extents(0, from.Size(), func(e disk.Extent) bool {
		for off := e.Offset; e.Kind == disk.Data && off < e.Offset+e.Length; {
			p := buf[:min(step-off%step, e.Offset+e.Length-off)]
			if _, failed = from.ReadAt(p, off); failed != nil {
				return false
			}
			if !bytes.Equal(p, zero[:len(p)]) {
				if _, failed = to.WriteAt(p, off); failed != nil {
					return false
				}
			}
			off += int64(len(p))
		}
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("copying the disk: %w", err)
	}
	return nil
}
