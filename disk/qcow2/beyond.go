package qcow2

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/sharevm/vmm/disk"
)

// maxFreed is how many freed clusters may wait for a flush before one is done for that reason.
const maxFreed = 1 << 18

// clearBeyond empties all entries of clusters behind the disk's end, and frees what they place. All tables are in the file as they are in memory.
func (i *Image) clearBeyond() error {
	t := i.table
	raw := make([]byte, t.clusterSize())
	for n := t.l1Entries - 1; n >= t.header.tables(); n-- {
		t.mu.Lock()
		err := t.dropTable(n, raw)
		full := len(t.refs.freed) > maxFreed
		t.settle()
		if err == nil && full {
			err = i.sync()
		}
		if err != nil {
			return err
		}
	}
	t.mu.Lock()
	err := t.clearTail()
	t.settle()
	if err != nil {
		return err
	}
	return i.sync()
}

// dropTable frees an L2 table of nothing but clusters behind the disk's end, reading it into raw. Called with mu held.
func (t *table) dropTable(n int64, raw []byte) error {
	at := host(t.l1[n])
	if at == 0 {
		return nil
	}
	if err := disk.ReadFull(t.file, raw, at, "L2 table"); err != nil {
		return err
	}
	for k := range t.l2Entries() {
		t.freeBeyond(binary.BigEndian.Uint64(raw[k*8:]), n<<t.l2Shift+k)
	}
	t.refs.freed = append(t.refs.freed, at>>t.clusterBits)
	t.dirtyL1[n/(sectorSize/8)] = true
	atomic.StoreUint64(&t.l1[n], 0)
	t.loaded = slices.DeleteFunc(t.loaded, func(id int64) bool {
		if id>>t.perTable() != n {
			return false
		}
		t.pieces[id].Store(nil)
		return true
	})
	return nil
}

// clearTail empties the entries behind the disk's end in its last L2 table. Called with mu held.
func (t *table) clearTail() error {
	first := t.header.clusters()
	if first&(t.l2Entries()-1) == 0 || host(t.l1[first>>t.l2Shift]) == 0 {
		return nil
	}
	for c := first; c&(t.l2Entries()-1) != 0; c++ {
		p, err := t.load(c >> t.shift)
		if err != nil {
			return err
		}
		k := c & (t.entries() - 1)
		if p[k] == 0 {
			continue
		}
		if p, err = t.own(c >> t.shift); err != nil {
			return err
		}
		t.freeBeyond(p[k], c)
		t.dirty[c>>t.shift] = true
		atomic.StoreUint64(&p[k], 0)
	}
	return nil
}

// freeBeyond frees what the entry of a cluster behind the disk's end places, unless that cannot be: nobody has looked at it yet.
func (t *table) freeBeyond(e uint64, cluster int64) {
	if e == 0 || t.wrong(e, cluster, t.refs.length.Load(), t.refs.meta) != "" {
		return
	}
	first, n := t.span(e)
	for c := first; c < first+n; c++ {
		t.refs.freed = append(t.refs.freed, c)
	}
}
