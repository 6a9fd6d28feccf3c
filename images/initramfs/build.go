package initramfs

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"
)

// Compression of an archive. A monitor hands an initramfs over by copying it, which is cheap, while a guest under emulation unpacks it
// slowly: None boots fastest wherever the archive need not be stored or sent.
type Compression string

// The compressions that Debian's kernels unpack.
const (
	None Compression = ""
	Gzip Compression = "gzip"
	Zstd Compression = "zstd"
)

// File is an extra entry of an archive: a regular file, or a symbolic link when Link is set.
type File struct {
	Name string // path in the guest
	Mode uint32 // permission bits; 0 stands for 0644
	Path string // file of the host to read, or
	Data []byte // what the file holds
	Link string // target of a symbolic link
}

// Config says what goes into an archive.
type Config struct {
	Init        string      // path on the host of the static program that becomes the guest's first process
	InitName    string      // its path in the guest; "" stands for /init
	Modules     []Module    // in the order of loading; see Modules
	Dirs        []string    // empty folders beyond dev, proc, sys, run, tmp, etc and root
	Files       []File      //
	Compression Compression //
}

// modulesDir is where the guest finds its modules.
const modulesDir = "modules"

// Build writes the archive to w.
func Build(w io.Writer, c Config) error {
	var closer io.Closer
	switch c.Compression {
	case None:
	case Gzip:
		z := gzip.NewWriter(w)
		w, closer = z, z
	case Zstd:
		z, err := zstd.NewWriter(w)
		if err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
		w, closer = z, z
	default:
		return fmt.Errorf("initramfs: unknown compression %q", c.Compression)
	}
	if err := build(newCPIO(w), c); err != nil {
		return err
	}
	if closer != nil {
		if err := closer.Close(); err != nil {
			return fmt.Errorf("initramfs: %w", err)
		}
	}
	return nil
}

func build(a *cpioWriter, c Config) error {
	for _, d := range append([]string{"dev", "proc", "sys", "run", "tmp", "etc", "root"}, c.Dirs...) {
		if err := a.Dir(d); err != nil {
			return err
		}
	}
	// The kernel opens these before init can mount a devtmpfs.
	if err := a.Char("dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	if err := a.Char("dev/null", 0o666, 1, 3); err != nil {
		return err
	}
	if c.Init != "" {
		name := c.InitName
		if name == "" {
			name = "init"
		}
		if err := addFile(a, File{Name: name, Mode: 0o755, Path: c.Init}); err != nil {
			return err
		}
	}
	var order bytes.Buffer
	for _, m := range c.Modules {
		file := m.Name + ".ko"
		fmt.Fprintln(&order, file)
		if err := a.File(path.Join(modulesDir, file), 0o644, m.Data); err != nil {
			return err
		}
	}
	if err := a.File(path.Join(modulesDir, "order"), 0o644, order.Bytes()); err != nil {
		return err
	}
	for _, f := range c.Files {
		if err := addFile(a, f); err != nil {
			return err
		}
	}
	return a.Close()
}

func addFile(a *cpioWriter, f File) error {
	if f.Link != "" {
		return a.Symlink(f.Name, f.Link)
	}
	data, perm, err := f.Content()
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return a.File(f.Name, perm, data)
}

// Content returns what a regular file holds, and its permission bits.
func (f File) Content() (data []byte, perm uint32, err error) {
	data, perm = f.Data, f.Mode
	if perm == 0 {
		perm = 0o644
	}
	if f.Path != "" {
		data, err = os.ReadFile(f.Path)
	}
	return data, perm, err
}
