package disk

import (
	"fmt"
	"log/slog"
	"path/filepath"
)

// OpenOptions says how to open an image. The zero value opens it for reading and writing, with what it names confined to its folder.
type OpenOptions struct {
	// ReadOnly opens every file for reading only; writes return [ErrReadOnly].
	ReadOnly bool
	// Format names the format ("raw", "vmdk", "vhd") instead of leaving it to the file's extension.
	Format string
	// AllowOutside permits extents and parents outside the image's own folder.
	AllowOutside bool
	// AllowStaleParent opens a chain although a parent has changed since its child was made. What is read may then be nonsense.
	AllowStaleParent bool
	// Alone opens the image without its parent: what it does not store reads as zeroes, and WriteAt, WriteZeroes and Discard return
	// [ErrReadOnly]. For looking at it, and for [Relinker], when the parent is missing or of no interest.
	Alone bool
	// KeepIdentity has writes leave what children know their parent by (VMDK's CID, VHDX's data write GUID, VHD's time stamp), so that they stay
	// valid. Only for a tool that sees to it that no child notices what it writes.
	KeepIdentity bool
	// Parents opens parents, of whatever format they are; nil means that each format opens only its own.
	Parents func(path string, o OpenOptions) (Image, error)
	// Children are the paths of the images above this one when it is opened as a parent, the topmost first.
	Children []string
	// Within, if not empty, is the folder that the image itself must lie in, because another image named it.
	Within string
	// Shared skips the locks. Only for looking at an image that another program is using; what is read may be torn.
	Shared bool
	// Logger receives remarks such as "was not closed cleanly"; nil discards them.
	Logger *slog.Logger
	// Files opens the host's files; nil means the operating system's.
	Files Files
}

// CreateOptions says what image to create. Size is required.
type CreateOptions struct {
	// Size is the capacity in bytes. Formats that count in sectors refuse a Size that is not a multiple of 512.
	Size int64
	// Format names the format instead of leaving it to the file's extension.
	Format string
	// Variant is the format's subtype, such as "monolithicFlat" or "fixed"; empty means the growing one.
	Variant string
	// BlockSize is the allocation unit in bytes; 0 means the format's usual one.
	BlockSize int64
	// SectorSize is the logical sector in bytes that the disk is made for, 512 or 4096; 0 means the parent's, or 512. Only VHDX records it.
	SectorSize int
	// Parent, if not empty, is the path of the image that the new one starts as a copy of, storing only what changes. It is
	// recorded relative to the new image's folder. Size may then be 0, which means the parent's.
	Parent string
	// ParentFormat names the parent's format instead of leaving it to that file's extension.
	ParentFormat string
	// AllowOutside as in OpenOptions, for what Parent names in turn.
	AllowOutside bool
	// Parents as in OpenOptions.
	Parents func(path string, o OpenOptions) (Image, error)
	// Logger as in OpenOptions.
	Logger *slog.Logger
	// Files as in OpenOptions.
	Files Files
}

// Log returns the logger to use, never nil.
func (o OpenOptions) Log() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// Open opens one of the image's own files by path as the options say. Formats call it for the file that they were pointed to.
func (o OpenOptions) Open(path string) (File, error) {
	fo := FileOptions{Write: !o.ReadOnly, Shared: o.Shared}
	if o.Within != "" {
		name, err := filepath.Rel(o.Within, path)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrOutside, path, err)
		}
		fo.Folder, path = o.Within, name
	}
	return o.files().Open(path, fo)
}

// OpenBeside opens a file that an image in folder names, refusing names that lead outside unless AllowOutside is set.
// A readOnly file is opened for reading whatever the options say.
func (o OpenOptions) OpenBeside(folder, name string, readOnly bool) (File, error) {
	fo := FileOptions{Write: !o.ReadOnly && !readOnly, Shared: o.Shared, Folder: folder, AllowOutside: o.AllowOutside}
	return o.files().Open(name, fo)
}

func (o OpenOptions) files() Files { return filesOrHost(o.Files) }

// Create creates path, which must not exist.
func (o CreateOptions) Create(path string) (File, error) {
	return filesOrHost(o.Files).Open(path, FileOptions{Write: true, Create: true})
}

// Fill makes the file at path, as Create does, and has fill write what is in it: afterwards it is durable, or, with an error, not there.
func (o CreateOptions) Fill(path string, fill func(File) error) error {
	file, err := o.Create(path)
	if err != nil {
		return err
	}
	if err = fill(file); err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		o.Remove(path)
		return fmt.Errorf("%s: create: %w", path, err)
	}
	return nil
}

// Remove deletes a file that Create made, after a failure half way.
func (o CreateOptions) Remove(path string) error { return filesOrHost(o.Files).Remove(path) }

func filesOrHost(f Files) Files {
	if f == nil {
		return HostFiles{}
	}
	return f
}
