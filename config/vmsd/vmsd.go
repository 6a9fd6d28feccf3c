// Package vmsd reads and changes VMware's .vmsd files, the list of a machine's snapshots that lies beside its .vmx.
//
// There is no published specification. What is known, and relied on here:
//
//   - The file is a dictionary as the .vmx is (see package vmx), with the same character sets and escapes.
//   - Snapshot N has snapshotN.uid, .displayName, .description, .filename (its .vmsn) and, unless it is the first of its branch, .parent, which is
//     another's uid. Numbers need not be without gaps. snapshot.current is the uid of the one that the machine's present state follows.
//   - snapshotN.createTimeHigh and .createTimeLow are the upper and lower 32 bits of microseconds since 1970, both written as signed numbers.
//   - snapshotN.diskM.fileName is the image that was frozen when the snapshot was taken, .node the place of the disk ("scsi0:0").
//
// A .vmsd may come from a stranger. Reading is bounded as for a .vmx, and whatever makes no sense is left out.
package vmsd

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/config/vmx"
)

// Snapshot is one snapshot of a machine.
type Snapshot struct {
	UID         int64
	Parent      int64 // its UID, or 0 for none
	Name        string
	Description string    // may have several lines
	Created     time.Time // zero if the file does not say
	Current     bool      // the machine's present state follows it
	Disks       []Disk
}

// Disk is a disk as it was when a snapshot was taken.
type Disk struct {
	File string // the image, as the file names it: relative to the folder of the .vmsd, or absolute
	Node string // "scsi0:0"
}

// Bounds of what is taken from a file.
const (
	maxSnapshots = 4096
	maxDisks     = 256
)

// Open reads the .vmsd file at path.
func Open(path string) ([]Snapshot, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	return read(f), nil
}

// open reads a list as a file. A link is an error: its name is made of the .vmx's, so that who made the machine may have laid it to have another file changed.
func open(path string) (*vmx.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s is a link, and no list of snapshots", path)
	}
	return vmx.Open(path)
}

// Parse reads the contents of a .vmsd file. The name is used in messages only.
func Parse(name string, data []byte) ([]Snapshot, error) {
	f, err := vmx.Parse(name, data)
	if err != nil {
		return nil, err
	}
	return read(f), nil
}

// read lists the snapshots in the order of their numbers.
func read(f *vmx.File) []Snapshot {
	var numbers []int64
	for _, key := range f.Keys() {
		digits, ok := strings.CutPrefix(strings.ToLower(key), "snapshot")
		digits, isUID := strings.CutSuffix(digits, ".uid")
		n, err := strconv.ParseUint(digits, 10, 31)
		if ok && isUID && err == nil && strconv.FormatUint(n, 10) == digits && len(numbers) < maxSnapshots {
			numbers = append(numbers, int64(n))
		}
	}
	slices.Sort(numbers)
	current := number(f, "snapshot.current")
	var list []Snapshot
	for _, n := range numbers {
		prefix := "snapshot" + strconv.FormatInt(n, 10) + "."
		s := Snapshot{UID: number(f, prefix+"uid"), Parent: number(f, prefix+"parent")}
		if s.UID <= 0 || slices.ContainsFunc(list, func(other Snapshot) bool { return other.UID == s.UID }) {
			continue
		}
		s.Name, _ = f.Get(prefix + "displayName")
		s.Description, _ = f.Get(prefix + "description")
		s.Created = created(f, prefix)
		s.Current = s.UID == current
		s.Disks = disks(f, prefix)
		list = append(list, s)
	}
	return list
}

// number reads a number that is not negative; 0 stands for what is none.
func number(f *vmx.File, key string) int64 {
	n, err := f.Int(key, 0, 0, 1<<31-1)
	if err != nil {
		return 0
	}
	return n
}

func created(f *vmx.File, prefix string) time.Time {
	high, errHigh := half(f, prefix+"createTimeHigh")
	low, errLow := half(f, prefix+"createTimeLow")
	if errHigh != nil || errLow != nil || high|low == 0 || high>>31 != 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(high)<<32 | int64(low)).UTC()
}

// half reads 32 bits, which are written as a signed number by some programs and as an unsigned one by others.
func half(f *vmx.File, key string) (uint32, error) {
	s, _ := f.Get(key)
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 33)
	return uint32(n), err
}

// disks lists the disks of a snapshot in the order of their numbers.
func disks(f *vmx.File, prefix string) (list []Disk) {
	n := cmp.Or(number(f, prefix+"numDisks"), maxDisks)
	for k := range min(n, maxDisks) {
		disk := prefix + "disk" + strconv.FormatInt(k, 10) + "."
		d := Disk{}
		d.File, _ = f.Get(disk + "fileName")
		d.Node, _ = f.Get(disk + "node")
		if d.File != "" {
			list = append(list, d)
		}
	}
	return list
}
