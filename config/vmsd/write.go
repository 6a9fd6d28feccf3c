package vmsd

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/sharevm/vmm/config/vmx"
)

// Edit changes the list of snapshots in the file at path, which need not exist, and saves it so that a crash leaves the old list or the new.
func Edit(path string, change func(*List) error) error {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = vmx.Parse(path, []byte(".encoding = \"UTF-8\"\n"))
	}
	if err != nil {
		return err
	}
	l := &List{f}
	if err := change(l); err != nil {
		return err
	}
	if err := l.count(); err != nil {
		return err
	}
	return f.Save(path)
}

// List is a list of snapshots that is being changed. What it says of others stays as it is.
type List struct{ file *vmx.File }

// Snapshots are those of the list.
func (l *List) Snapshots() []Snapshot { return read(l.file) }

// poweredOff is the type of a snapshot that holds no running machine, as far as VMware is concerned.
const poweredOff = "0"

// Add appends a snapshot that follows the current one and is the current one from then on, and returns its UID. UID, Parent and Current of s do not matter. The file of
// its state, which only VMware would make, begins with stem.
func (l *List) Add(s Snapshot, stem string) (uid int64, err error) {
	all := l.Snapshots()
	if len(all) >= maxSnapshots {
		return 0, fmt.Errorf("%s: %d snapshots are as many as there can be", l.file.Name(), len(all))
	}
	uid = max(number(l.file, "snapshot.lastUID"), 0)
	for _, other := range all {
		uid = max(uid, other.UID)
	}
	uid++
	prefix := "snapshot" + strconv.Itoa(l.free()) + "."
	micro := s.Created.UnixMicro()
	keys := [][2]string{
		{prefix + "uid", strconv.FormatInt(uid, 10)}, {prefix + "filename", fmt.Sprintf("%s-Snapshot%d.vmsn", stem, uid)}, {prefix + "displayName", s.Name},
		{prefix + "description", s.Description}, {prefix + "type", poweredOff},
		{prefix + "createTimeHigh", strconv.FormatInt(int64(int32(micro>>32)), 10)}, {prefix + "createTimeLow", strconv.FormatInt(int64(int32(micro)), 10)},
		{prefix + "numDisks", strconv.Itoa(len(s.Disks))},
	}
	if current := number(l.file, "snapshot.current"); current > 0 && len(all) > 0 {
		keys = append(keys, [2]string{prefix + "parent", strconv.FormatInt(current, 10)})
	}
	for i, d := range s.Disks {
		disk := prefix + "disk" + strconv.Itoa(i) + "."
		keys = append(keys, [2]string{disk + "fileName", d.File}, [2]string{disk + "node", d.Node})
	}
	n := strconv.FormatInt(uid, 10)
	keys = append(keys, [2]string{"snapshot.lastUID", n}, [2]string{"snapshot.current", n})
	for _, kv := range keys {
		if err := l.file.Set(kv[0], kv[1]); err != nil {
			return 0, err
		}
	}
	return uid, nil
}

// free is the first number that no snapshot has.
func (l *List) free() int {
	for n := 0; ; n++ {
		if _, taken := l.file.Get("snapshot" + strconv.Itoa(n) + ".uid"); !taken {
			return n
		}
	}
}

// SetCurrent has the machine's present state follow the snapshot of that UID; 0 stands for none.
func (l *List) SetCurrent(uid int64) error {
	return l.file.Set("snapshot.current", strconv.FormatInt(uid, 10))
}

// Remove takes the snapshot of that UID off the list. Those that follow it then follow its parent.
func (l *List) Remove(uid int64) error {
	all := l.Snapshots()
	at := slices.IndexFunc(all, func(s Snapshot) bool { return s.UID == uid })
	if at < 0 {
		return fmt.Errorf("%s: there is no snapshot with the UID %d", l.file.Name(), uid)
	}
	gone := all[at]
	for _, key := range l.file.Keys() {
		prefix, rest, _ := strings.Cut(key, ".")
		number, ok := strings.CutPrefix(strings.ToLower(prefix), "snapshot")
		if !ok || number == "" {
			continue
		}
		switch value, _ := l.file.Get(prefix + ".uid"); {
		case value == strconv.FormatInt(uid, 10):
			continue // below, when its uid is not needed any more
		case strings.EqualFold(rest, "parent"):
			if parent, _ := l.file.Get(key); parent == strconv.FormatInt(uid, 10) {
				if gone.Parent == 0 {
					l.file.Delete(key)
				} else if err := l.file.Set(key, strconv.FormatInt(gone.Parent, 10)); err != nil {
					return err
				}
			}
		}
	}
	for n := range maxSnapshots {
		prefix := "snapshot" + strconv.Itoa(n) + "."
		if value, _ := l.file.Get(prefix + "uid"); value != strconv.FormatInt(uid, 10) {
			continue
		}
		for _, key := range l.file.Keys() {
			if strings.HasPrefix(strings.ToLower(key), prefix) {
				l.file.Delete(key)
			}
		}
		break
	}
	if gone.Current {
		return l.SetCurrent(gone.Parent)
	}
	return nil
}

func (l *List) count() error {
	return l.file.Set("snapshot.numSnapshots", strconv.Itoa(len(l.Snapshots())))
}
