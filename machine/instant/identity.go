package instant

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine/snapshot"
)

// identity is what a snapshot is of.
type identity struct {
	VMX       snapshot.File
	Program   string          // the program that made it; see program
	Processor string          // a hash of what the host says of it
	Files     []snapshot.File // that the guest was started from, its disks left out
	Boot      string          // of the host on which it was made; locks tell among those of one boot who is at work
}

// identityFile is where it lies.
const identityFile = "identity"

// spoiltFile is empty beside a good snapshot.
const spoiltFile = "spoilt"

// errChanged is wrapped where a snapshot is of something else than what is there now.
var errChanged = errors.New("has changed since it was made")

// check says what of a snapshot is no longer as it was.
func (saved *identity) check(now *identity) error {
	switch {
	case saved.Program != now.Program:
		return errors.New("another version of vmm made it")
	case saved.Processor != now.Processor:
		return errors.New("it was made on another processor")
	case !same(saved.VMX, now.VMX):
		return fmt.Errorf("%s %w", filepath.Base(now.VMX.Path), errChanged)
	}
	for i, f := range now.Files {
		if i >= len(saved.Files) || !same(saved.Files[i], f) {
			return fmt.Errorf("%s %w", filepath.Base(f.Path), errChanged)
		}
	}
	return nil
}

func same(a, b snapshot.File) bool {
	return a.Path == b.Path && a.Size == b.Size && a.Modified.Equal(b.Modified)
}

// identify looks at what a snapshot of a machine would be of now.
func identify(vmx string, m *config.Machine) (*identity, error) {
	id := &identity{Processor: processor(), Boot: bootID()}
	var err error
	if id.Program, err = program("/proc/self/exe"); err != nil {
		return nil, err
	}
	if id.VMX, err = lookAt(vmx); err != nil {
		return nil, err
	}
	for _, path := range []string{m.Boot.Kernel, m.Boot.Initrd, m.Run.Kiosk.CA} {
		if path == "" {
			continue
		}
		f, err := lookAt(path)
		if err != nil {
			return nil, err
		}
		id.Files = append(id.Files, f)
	}
	return id, nil
}

// program tells a program from others. Building it anew without a change makes the same one, with another time.
func program(path string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if note := f.Section(buildID); note != nil && note.Size <= maxIdentity {
		if b, err := note.Data(); err == nil {
			return hash(b), nil
		}
	}
	self, err := lookAt(path)
	return fmt.Sprintf("%d %d", self.Size, self.Modified.UnixNano()), err
}

// buildID is the section in which Go's linker leaves hashes of all that went into a program, and of the program itself (cmd/internal/buildid).
const buildID = ".note.go.buildid"

func lookAt(path string) (snapshot.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return snapshot.File{}, err
	}
	return snapshot.File{Path: path, Size: info.Size(), Modified: info.ModTime()}, nil
}

// bootID is another one each time that a host, or a nested host, is booted.
func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // there is one on every Linux
	return strings.TrimSpace(string(b))
}

// processor is a hash of what /proc/cpuinfo says of the first processor, as far as it stays; "" where there is no such file.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), "\n\n")
	return hash([]byte(lasting(first)))
}

// counted are flags that say no more than how many processors there are, which a nested host is given as many of as its command needs.
var counted = []string{"ht", "cmp_legacy"}

// lasting is what of a processor's description does not vary from one time to the next.
func lasting(cpuinfo string) string {
	var lines []string
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "flags" {
			line = strings.Join(slices.DeleteFunc(strings.Fields(value), func(f string) bool { return slices.Contains(counted, f) }), " ")
		}
		if slices.Contains([]string{"vendor_id", "cpu family", "model", "model name", "stepping", "microcode", "flags"}, strings.TrimSpace(key)) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// folderName names a machine's folder. What no guest can see is left out.
func folderName(vmx string, m *config.Machine) (string, error) {
	c := *m
	c.Annotation, c.Limits, c.Display.VNC = "", config.Limits{}, config.VNC{}
	c.Run.Hotkey, c.Run.Priority, c.Run.Restart = "", "", false
	c.NICs = slices.Clone(m.NICs)
	for i := range c.NICs {
		c.NICs[i].Publish = nil
	}
	b, err := json.Marshal(struct {
		VMX     string
		Machine *config.Machine
	}{vmx, &c})
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(filepath.Base(vmx), filepath.Ext(vmx))
	return strings.TrimLeft(name, ".") + "-" + hash(b), nil
}

// hash is short enough for a file's name, and long enough to be no other's.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:10])
}
