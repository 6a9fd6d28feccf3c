package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// manifestName is the file in the machine's folder that remembers what its files were made from.
const manifestName = "manifest.json"

// made says how a file of the folder came to be.
type made struct {
	Inputs string `json:"inputs"` // hash of everything that the file was made from
	Size   int64  `json:"size"`   // bytes, when it had just been made
	Time   int64  `json:"time"`   // of modification then, in nanoseconds of Unix time
}

// manifest is what is known of the folder's files, by name.
type manifest map[string]made

// readManifest returns the manifest of a folder; an empty one where there is none, or none that makes sense.
func readManifest(folder string) manifest {
	m := manifest{}
	b, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil || json.Unmarshal(b, &m) != nil || m == nil {
		return manifest{}
	}
	return m
}

func (m manifest) write(folder string) error {
	b, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(folder, manifestName)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return os.Rename(path+".new", path)
}

// record notes that the file at path was just made from inputs.
func (m manifest) record(path, inputs string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	m[filepath.Base(path)] = made{inputs, st.Size(), st.ModTime().UnixNano()}
	return nil
}

// condition is what there is to know of a file before it might be made again.
type condition int

const (
	missing condition = iota // or of unknown origin, if recorded nowhere
	current
	outdated
	outdatedAndChanged // by the guest or the user, since it was made
)

func (m manifest) condition(path, inputs string) (condition, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing, nil
	case err != nil:
		return missing, err
	}
	was := m[filepath.Base(path)]
	switch {
	case was.Inputs == inputs:
		return current, nil
	case was.Size == st.Size() && was.Time == st.ModTime().UnixNano():
		return outdated, nil
	}
	return outdatedAndChanged, nil
}
