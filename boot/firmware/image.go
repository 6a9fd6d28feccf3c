package firmware

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Folders of Debian's packages.
const (
	folderSeaBIOS = "/usr/share/seabios"
	folderOVMF    = "/usr/share/OVMF"
	folderIPXE    = "/usr/lib/ipxe/qemu"
)

// ErrMissing is wrapped by the error for firmware that this host does not have.
var ErrMissing = errors.New("not on this host")

// Image is firmware, which ends at 4 GiB.
type Image struct {
	Path string
	Code []byte // whole pages
	// Variables are the variable store of a new machine, which lies just below Code; nil for a BIOS.
	Variables []byte
	// Packaged says that it is the distribution's own OVMF, which is built without the drivers for LSI's and VMware's SCSI adapters.
	Packaged bool
}

// maxImage bounds an image: there is no more room below 4 GiB.
const maxImage = 16 << 20

// BIOS reads SeaBIOS, from folder where that is not empty and holds it.
func BIOS(folder string) (Image, error) {
	code, path, err := find(folder, "seabios", folderSeaBIOS+"/bios-256k.bin", folderSeaBIOS+"/bios.bin", "/usr/share/qemu/bios-256k.bin")
	if err != nil {
		return Image{}, fmt.Errorf("SeaBIOS: %w", err)
	}
	return Image{Path: path, Code: code}, nil
}

// EFI reads OVMF, from folder where that is not empty and holds it: the build that needs no system management mode, which this board does not have. Its variable store
// is empty or, with secure, one with Microsoft's keys by which it verifies what it starts.
func EFI(folder string, secure bool) (Image, error) {
	template := ".fd"
	if secure {
		template = ".ms.fd"
	}
	var code, variables []byte
	var path string
	var err error
	for _, size := range []string{"_4M", ""} {
		if code, path, err = find(folder, "ovmf", folderOVMF+"/OVMF_CODE"+size+".fd"); errors.Is(err, ErrMissing) {
			continue
		}
		if err == nil {
			variables, _, err = find(filepath.Dir(path), "ovmf", folderOVMF+"/OVMF_VARS"+size+template)
		}
		break
	}
	if err == nil && secure && !SecureBoot(variables) {
		err = errors.New("its template for Secure Boot (OVMF_VARS*.ms.fd) has no keys")
	}
	if err != nil {
		return Image{}, fmt.Errorf("OVMF: %w", err)
	}
	return Image{Path: path, Code: code, Variables: variables, Packaged: filepath.Dir(path) == folderOVMF}, nil
}

// OptionROM reads the program of an expansion card, from folder where that holds it. An error that wraps ErrMissing names the package that has it.
func OptionROM(folder, name string) ([]byte, error) {
	home, pkg := folderSeaBIOS, "seabios"
	if !strings.HasPrefix(name, "vgabios") {
		home, pkg = folderIPXE, "ipxe-qemu"
	}
	rom, _, err := find(folder, pkg, home+"/"+name)
	return rom, err
}

// find reads the first of the files that is there; in folder, if it is not empty, they are looked for first.
func find(folder, pkg string, paths ...string) ([]byte, string, error) {
	if folder != "" {
		var own []string
		for _, p := range paths {
			own = append(own, filepath.Join(folder, filepath.Base(p)))
		}
		paths = append(own, paths...)
	}
	for _, p := range paths {
		b, err := read(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		return b, p, err
	}
	return nil, "", &missingError{pkg, paths}
}

// read reads a file of whole pages, or of what an option ROM has.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s, err := f.Stat(); err != nil || !s.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxImage+1))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || len(b) > maxImage || len(b)%512 != 0 {
		return nil, fmt.Errorf("%s: %d bytes are no firmware", path, len(b))
	}
	return b, nil
}

// missingError says what to install.
type missingError struct {
	pkg   string
	paths []string
}

// Error implements error.
func (e *missingError) Error() string {
	return fmt.Sprintf("not on this host (looked for %s): sudo apt-get install %s, or name the folder that has it with --firmware", strings.Join(e.paths, ", "), e.pkg)
}

// Is says that this is ErrMissing.
func (e *missingError) Is(target error) bool { return target == ErrMissing }
