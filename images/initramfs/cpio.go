package initramfs

import (
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// Mode bits of a cpio entry, as in stat(2).
const (
	modeDir     = 0o040000
	modeFile    = 0o100000
	modeSymlink = 0o120000
	modeChar    = 0o020000
)

// cpioWriter writes a newc archive. Parent folders are added by themselves, each once.
type cpioWriter struct {
	w    io.Writer
	off  int64
	ino  uint32
	seen map[string]bool
	err  error
}

func newCPIO(w io.Writer) *cpioWriter { return &cpioWriter{w: w, seen: map[string]bool{}} }

// clean turns a name into one that is relative to the root and leaves it nowhere.
func clean(name string) (string, error) {
	c := strings.TrimPrefix(path.Clean("/"+name), "/")
	if c == "" || strings.ContainsRune(c, 0) {
		return "", fmt.Errorf("initramfs: %q can't be the name of an entry", name)
	}
	return c, nil
}

// parents adds the folders that name lies in.
func (c *cpioWriter) parents(name string) error {
	for i := range len(name) {
		if name[i] != '/' {
			continue
		}
		if err := c.folder(name[:i]); err != nil {
			return err
		}
	}
	return nil
}

// folder adds a folder unless it is there.
func (c *cpioWriter) folder(name string) error {
	if c.seen[name] {
		return nil
	}
	c.seen[name] = true
	return c.entry(name, modeDir|0o755, 0, 0, nil)
}

// Dir adds a folder and its parents.
func (c *cpioWriter) Dir(name string) error {
	name, err := clean(name)
	if err != nil {
		return err
	}
	if err := c.parents(name); err != nil {
		return err
	}
	return c.folder(name)
}

// add adds anything that is not a folder.
func (c *cpioWriter) add(name string, mode uint32, major, minor uint32, data []byte) error {
	name, err := clean(name)
	if err != nil {
		return err
	}
	if err := c.parents(name); err != nil {
		return err
	}
	if c.seen[name] {
		return fmt.Errorf("initramfs: two entries are named %q", name)
	}
	c.seen[name] = true
	return c.entry(name, mode, major, minor, data)
}

// File adds a regular file with the permissions perm.
func (c *cpioWriter) File(name string, perm uint32, data []byte) error {
	if uint64(len(data)) > math.MaxUint32 {
		return fmt.Errorf("initramfs: %q has %d bytes, more than the format can say", name, len(data))
	}
	return c.add(name, modeFile|perm&0o7777, 0, 0, data)
}

// Symlink adds a symbolic link.
func (c *cpioWriter) Symlink(name, target string) error {
	return c.add(name, modeSymlink|0o777, 0, 0, []byte(target))
}

// Char adds a character device.
func (c *cpioWriter) Char(name string, perm, major, minor uint32) error {
	return c.add(name, modeChar|perm&0o7777, major, minor, nil)
}

// Close writes the trailer and pads to the 512 bytes that cpio itself pads to, so that archives can be concatenated.
func (c *cpioWriter) Close() error {
	c.ino = math.MaxUint32 // becomes 0
	if err := c.entry("TRAILER!!!", 0, 0, 0, nil); err != nil {
		return err
	}
	return c.pad(512)
}

func (c *cpioWriter) entry(name string, mode, major, minor uint32, data []byte) error {
	c.ino++
	links := 1
	if mode&modeDir == modeDir {
		links = 2
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, device major and minor, special file's major and minor, namesize, check
	head := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0, name)
	c.write([]byte(head))
	c.pad(4)
	c.write(data)
	return c.pad(4)
}

func (c *cpioWriter) write(b []byte) {
	if c.err == nil {
		var n int
		n, c.err = c.w.Write(b)
		c.off += int64(n)
	}
}

// pad fills with zeros to a multiple of n, a power of two up to 512, and returns the first error of all writes so far.
func (c *cpioWriter) pad(n int64) error {
	var zeros [512]byte
	c.write(zeros[:-c.off&(n-1)])
	return c.err
}
