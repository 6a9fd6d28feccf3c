package vmdk

import (
	"fmt"
	"hash/crc32"
	"path"
	"path/filepath"
	"strings"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/internal/chain"
)

// noID is the parentCID above a parent whose format keeps no identifier: it says nothing.
const noID = 0xfffffffe

// openOwn opens a parent that is a VMDK.
func openOwn(path string, o disk.OpenOptions) (disk.Image, error) {
	i, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// openParent opens the disk that a snapshot builds upon, and checks that it is still what it was then.
func (i *Image) openParent(path string, o disk.OpenOptions) error {
	link := chain.Link{Child: path, Names: parentNames(i.descriptor.ParentHint), Own: openOwn}
	parent, err := link.Open(o)
	if err != nil {
		return err
	}
	i.parent = parent
	i.info.Parent = parent.Info().Path
	found, recorded := identify(parent), i.descriptor.ParentCID
	if found == recorded || recorded == noID {
		return nil
	}
	what := fmt.Sprintf("its content identifier was %08x then and is %08x now", recorded, found)
	if !o.AllowStaleParent {
		return chain.Stale(path, i.info.Parent, what)
	}
	i.info.Warnings = append(i.info.Warnings, fmt.Sprintf("the parent %s has changed: %s", i.info.Parent, what))
	return nil
}

// recordedParent is the path of the parent as far as the descriptor goes.
func (i *Image) recordedParent() string {
	hint := filepath.FromSlash(strings.ReplaceAll(i.descriptor.ParentHint, `\`, "/"))
	if filepath.IsAbs(hint) {
		return hint
	}
	return filepath.Join(filepath.Dir(i.info.Path), hint)
}

// parentNames lists where the parent may be. A hint that leads elsewhere, as in a machine's folder that was moved as a whole, may still
// mean the file of that name beside the child.
func parentNames(hint string) []string {
	if hint == "" {
		return nil
	}
	hint = strings.ReplaceAll(hint, `\`, "/")
	names := []string{hint}
	if base := path.Base(hint); base != hint && base != "." && base != "/" {
		names = append(names, base)
	}
	return names
}

// identify returns the content identifier that a child records of its parent. Of another format's image it is made of what identifies that.
func identify(parent disk.Image) uint32 {
	if v, ok := parent.(*Image); ok {
		return v.descriptor.CID
	}
	id := parent.Info().ID
	if id == "" {
		return noID
	}
	return min(crc32.ChecksumIEEE([]byte(id)), noID-1)
}
