package browser

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/internal/debian"
)

// manifest says what the machine was made of. It holds nothing that differs from one build of the same to the next.
type manifest struct {
	Inputs   string          `json:"inputs"` // hash of everything that the files were made from
	Kernel   string          `json:"kernel"` // release
	Packages []packageEntry  `json:"packages"`
	Files    map[string]file `json:"files"` // of the machine's folder, as they were made
}

// packageEntry is one package of which something is in the machine.
type packageEntry struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	SHA256   string   `json:"sha256"`
	Licences []string `json:"licences"` // short names; the texts are in /usr/share/doc/NAME/copyright of the root disk
}

// file is one file of the machine's folder.
type file struct {
	Size   int64  `json:"size"` // in bytes
	SHA256 string `json:"sha256"`
}

// describe returns what there is to know of a file.
func describe(path string) (file, error) {
	f, err := os.Open(path)
	if err != nil {
		return file{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return file{n, hex.EncodeToString(h.Sum(nil))}, err
}

// readManifest returns the manifest of a folder; an empty one where there is none that makes sense.
func readManifest(folder string) manifest {
	var m manifest
	b, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil || json.Unmarshal(b, &m) != nil {
		return manifest{}
	}
	return m
}

func (m *manifest) write(path string) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// current says whether all files are there as they were made from the same inputs. Of large files the size is enough.
func (m *manifest) current(folder, inputs string) bool {
	if m.Inputs != inputs || len(m.Files) == 0 {
		return false
	}
	for name, f := range m.Files {
		st, err := os.Stat(filepath.Join(folder, name))
		if err != nil || name != vmxName && st.Size() != f.Size {
			return false
		}
	}
	return true
}

// untouched says whether a file may be replaced: it is as it was made, or not there.
func (m *manifest) untouched(folder, name string) (bool, error) {
	f, err := describe(filepath.Join(folder, name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return f == m.Files[name], err
}

// entryOf describes a package.
func entryOf(p debian.Pin, copyright string) (packageEntry, error) {
	text, err := os.ReadFile(copyright)
	if err != nil {
		return packageEntry{}, fmt.Errorf("the licences of package %s: %w", p.Name, err)
	}
	return packageEntry{p.Name, p.Version, p.SHA256, licences(text)}, nil
}

// licences are the short names in a file of Debian's machine-readable format (copyright-format 1.0, section 7.2), in order; for files of free form
// there is but their text.
func licences(text []byte) []string {
	all := []string{}
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		if name, ok := strings.CutPrefix(sc.Text(), "License:"); ok && strings.TrimSpace(name) != "" {
			all = append(all, strings.TrimSpace(name))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
