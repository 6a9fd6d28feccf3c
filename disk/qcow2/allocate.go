package qcow2

import (
	"sync/atomic"

	"github.com/sharevm/vmm/disk/internal/inflated"
	"github.com/sharevm/vmm/disk/internal/mapped"
)

// settle notes how much of the tables waits to be written, and lets go of mu.
func (t *table) settle() {
	t.unsaved.Store(int64(len(t.dirty))*t.pieceSize() + int64(len(t.refs.dirty))*t.refs.pieceSize())
	t.mu.Unlock()
}

// Allocate implements [mapped.Table].
func (t *table) Allocate(off, length int64) (at, n int64, err error) {
	t.mu.Lock()
	defer t.settle()
	cluster, in := off>>t.clusterBits, off&(t.clusterSize()-1)
	p, err := t.own(cluster >> t.shift)
	if err != nil {
		return 0, 0, err
	}
	k := cluster & (t.entries() - 1)
	e := p[k]
	if at := t.place(e, t.refs.length.Load(), true); at >= 0 { // another write was faster
		return at + in, min(length, t.clusterSize()-in), nil
	}
	if at, ok, err := t.revive(e); ok || err != nil {
		if err != nil {
			return 0, 0, err
		}
		t.put(cluster, at)
		return at + in, min(length, t.clusterSize()-in), nil
	}
	want := int64(1)
	for want<<t.clusterBits-in < length && k+want < t.entries() && t.absent(p[k+want]) {
		want++
	}
	first, got, err := t.refs.allocZero(want)
	if err != nil {
		return 0, 0, err
	}
	for c := range got {
		t.put(cluster+c, (first+c)<<t.clusterBits)
	}
	return first<<t.clusterBits + in, min(length, got<<t.clusterBits-in), nil
}

// absent says whether an entry has no place and reads as zeroes.
func (t *table) absent(e uint64) bool {
	return e == 0 && !t.backed || e&^flagCopied == flagZero
}

// revive returns the place that an entry which is marked as zeroes has nevertheless, if it is its own, and makes the file zero there.
func (t *table) revive(e uint64) (at int64, ok bool, err error) {
	at = host(e)
	if e&flagZero == 0 || at == 0 || e&flagCopied == 0 || at+t.clusterSize() > t.refs.length.Load() {
		return 0, false, nil
	}
	return at, true, t.file.Zero(at, t.clusterSize(), true)
}

// put gives a cluster, whose piece is owned, a place of its own. Called with mu held.
func (t *table) put(cluster, at int64) {
	t.change(cluster, uint64(at)|flagCopied)
}

// change sets the entry of a cluster, whose piece is owned, and frees what it referred to. Called with mu held.
func (t *table) change(cluster int64, e uint64) {
	p := t.inMemory(cluster >> t.shift)
	k := cluster & (t.entries() - 1)
	if old := p[k]; host(old) != host(e) || old&flagCompressed != 0 {
		first, n := t.span(old)
		for c := first; c < first+n; c++ {
			t.refs.freed = append(t.refs.freed, c)
		}
	}
	t.dirty[cluster>>t.shift] = true
	atomic.StoreUint64(&p[k], e)
}

// own returns a piece of an L2 table that may be changed: a new one if there was none, a copy if it was shared. Called with mu held.
func (t *table) own(id int64) (piece, error) {
	i := id >> t.perTable()
	if e := t.l1[i]; host(e) == 0 || e&flagCopied == 0 {
		if err := t.renew(i); err != nil {
			return nil, err
		}
	}
	return t.load(id)
}

// renew gives L2 table i a new place, and a first one if it had none. Called with mu held.
func (t *table) renew(i int64) error {
	c, _, err := t.refs.allocZero(1)
	if err != nil {
		return err
	}
	if at := host(t.l1[i]); at != 0 {
		if err := t.copyTable(i); err != nil {
			t.refs.forget(c, 1)
			return err
		}
		t.refs.freed = append(t.refs.freed, at>>t.clusterBits)
	}
	t.refs.meta.add(c)
	t.dirtyL1[i/(sectorSize/8)] = true
	atomic.StoreUint64(&t.l1[i], uint64(c<<t.clusterBits)|flagCopied)
	return nil
}

// copyTable has all of L2 table i written again, to wherever it is by then. Called with mu held.
func (t *table) copyTable(i int64) error {
	for id := i << t.perTable(); id < (i+1)<<t.perTable(); id++ {
		if _, err := t.load(id); err != nil {
			return err
		}
		t.dirty[id] = true
	}
	return nil
}

// Place implements [mapped.Copier].
func (t *table) Place(off, length int64) (at, n int64, err error) {
	t.mu.Lock()
	defer t.settle()
	cluster := off >> t.clusterBits
	id := cluster >> t.shift
	if _, err := t.own(id); err != nil {
		return 0, 0, err
	}
	t.dirty[id] = true // so that Adopt finds it in memory
	want := min(length>>t.clusterBits, t.entries()-cluster&(t.entries()-1))
	first, got, err := t.refs.allocZero(want)
	return first << t.clusterBits, got << t.clusterBits, err
}

// Adopt implements [mapped.Copier].
func (t *table) Adopt(off, n, at int64) {
	t.mu.Lock()
	defer t.settle()
	for c := range n >> t.clusterBits {
		t.put(off>>t.clusterBits+c, at+c<<t.clusterBits)
	}
}

// Forget implements [mapped.Copier].
func (t *table) Forget(_, n, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refs.forget(at>>t.clusterBits, n>>t.clusterBits)
}

// zeroer is the table of a version that can mark clusters as zeroes.
type zeroer struct{ *table }

var (
	_ mapped.Unpacker = (*table)(nil)
	_ inflated.Source = (*table)(nil)
	_ mapped.Zeroer   = zeroer{}
)

// MarkZero implements [mapped.Zeroer].
func (t zeroer) MarkZero(off, n int64) error {
	t.mu.Lock()
	defer t.settle()
	for c := off >> t.clusterBits; c < (off+n)>>t.clusterBits; c++ {
		if _, err := t.own(c >> t.shift); err != nil {
			return err
		}
		t.change(c, flagZero)
	}
	return nil
}
