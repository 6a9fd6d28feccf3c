package tools

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/disk"
)

// folders are the host's files for tools that also look into folders and move files.
type folders interface {
	disk.Files
	// Rename moves a file within its folder, durably. Unless replace is set, to must not exist.
	Rename(from, to string, replace bool) error
	// List names the regular files of a folder.
	List(folder string) ([]string, error)
}

// foldersOf returns f with what the operating system's files can do besides. Others that stand in for those must bring it along.
func foldersOf(f disk.Files) (folders, error) {
	switch f := f.(type) {
	case nil:
		return hostFolders{}, nil
	case disk.HostFiles:
		return hostFolders{f}, nil
	case folders:
		return f, nil
	}
	return nil, fmt.Errorf("%w: files of %T cannot be moved", disk.ErrUnsupported, f)
}

type hostFolders struct{ disk.HostFiles }

func (hostFolders) Rename(from, to string, replace bool) error {
	rename := renameNew
	if replace {
		rename = replaceFile
	}
	if err := rename(from, to); err != nil {
		return err
	}
	return disk.SyncFolder(filepath.Dir(to))
}

// Remove is durable too.
func (h hostFolders) Remove(path string) error {
	if err := h.HostFiles.Remove(path); err != nil {
		return err
	}
	return disk.SyncFolder(filepath.Dir(path))
}

func (hostFolders) List(folder string) (names []string, err error) {
	list, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// renameNew moves a file to a place that is free.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without it
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// samePath says whether two paths lead to one file.
func samePath(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	if errA == nil && errB == nil && absA == absB {
		return true
	}
	stA, errA := os.Stat(a)
	stB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(stA, stB)
}
