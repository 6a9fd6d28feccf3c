package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"

	"github.com/sharevm/vmm/disk"
)

const sectorSize = 512

// sector is one sector's contents, never changed once made; nil is zeroes.
type sector = *[sectorSize]byte

// Recorder is a [disk.Files] in memory that remembers each change and each sync, and can tell what a host may find on its disk after a
// power failure at any of them.
type Recorder struct {
	// Fault, if not nil, is asked before each write, given its offset, and each sync, and fails it with what it returns.
	Fault func(sync bool, off int64) error

	mu    sync.Mutex
	files map[string]*memory
	base  map[string]settled // what was there at Settle
	log   []event
}

// settled is a file as it was at Settle.
type settled struct {
	file    *memory
	sectors map[int64]sector
	size    int64
}

// event is one change or sync of a file, the making or removal of a name, or (without anything set) a mere point in time.
type event struct {
	file    *memory
	sync    bool
	made    string           // a name that the file got
	removed string           // a name that the file lost
	sectors map[int64]sector // their contents afterwards
	size    int64            // afterwards
}

// memory is a file. Two openings share one.
type memory struct {
	rec     *Recorder
	name    string
	sectors map[int64]sector
	size    int64
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{files: map[string]*memory{}} }

// Put makes the file path with the given content, on the disk.
func (r *Recorder) Put(path string, content []byte) {
	m := &memory{rec: r, name: path, sectors: map[int64]sector{}, size: int64(len(content))}
	for at := 0; at < len(content); at += sectorSize {
		s := new([sectorSize]byte)
		copy(s[:], content[at:])
		m.sectors[int64(at/sectorSize)] = s
	}
	r.files[path] = m
}

// Get returns the content of the file path, or nil.
func (r *Recorder) Get(path string) []byte {
	m := r.files[path]
	if m == nil {
		return nil
	}
	p := make([]byte, m.size)
	(&handle{memory: m}).ReadAt(p, 0)
	return p
}

// Open implements [disk.Files].
func (r *Recorder) Open(path string, o disk.FileOptions) (disk.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Folder != "" {
		path = filepath.Join(o.Folder, path)
	}
	m := r.files[path]
	switch {
	case m == nil && !o.Create:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case m != nil && o.Create:
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	case m == nil:
		m = &memory{rec: r, name: path, sectors: map[int64]sector{}}
		r.files[path] = m
		r.log = append(r.log, event{file: m, made: path})
	}
	return &handle{m, o.Write}, nil
}

// Remove implements [disk.Files].
func (r *Recorder) Remove(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.files[path]
	if m == nil {
		return &fs.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	delete(r.files, path)
	r.log = append(r.log, event{file: m, removed: path})
	return nil
}

// Settle forgets the events so far: what the files hold now is on the disk.
func (r *Recorder) Settle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log, r.base = nil, map[string]settled{}
	for name, m := range r.files {
		r.base[name] = settled{m, maps.Clone(m.sectors), m.size}
	}
}

// tick makes what came before and what comes next differ in their numbers of events.
func (r *Recorder) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, event{})
}

// Events is the number of events since Settle.
func (r *Recorder) Events() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.log)
}

// Copy returns files with the same contents and no events.
func (r *Recorder) Copy() *Recorder {
	c := NewRecorder()
	for name, m := range r.files {
		c.files[name] = &memory{rec: c, name: name, sectors: maps.Clone(m.sectors), size: m.size}
	}
	return c
}

// pending is what a file may hold after a crash.
type pending struct {
	durable  map[int64]sector
	versions map[int64][]sector // since the last sync, oldest first
	size     int64
	sizes    []int64
}

func (p *pending) apply(e event) {
	if e.sync {
		for n, v := range p.versions {
			p.durable[n] = v[len(v)-1]
		}
		p.size = e.size
		clear(p.versions)
		p.sizes = nil
		return
	}
	for n, s := range e.sectors {
		p.versions[n] = append(p.versions[n], s)
	}
	if e.size != p.size || len(p.sizes) > 0 {
		p.sizes = append(p.sizes, e.size)
	}
}

// Loss is what happens to changes that were not synced.
type Loss int

// The losses tried.
const (
	LoseAll    Loss = iota // nothing had reached the disk
	LoseNone               // everything had
	LoseRandom             // each sector, and the file's length, as it was after some change or before them all
	LoseSome               // as LoseRandom, but most sectors got there
)

// replayed is what may be on the disk after some of the events.
type replayed struct {
	files map[*memory]*pending
	names map[string]*memory // those that are durable
	later []event            // changes of names since the last sync
}

// replay rebuilds the files as they were at Settle.
func (r *Recorder) replay() *replayed {
	s := &replayed{files: map[*memory]*pending{}, names: map[string]*memory{}}
	for name, b := range r.base {
		s.names[name] = b.file
		s.files[b.file] = &pending{durable: maps.Clone(b.sectors), versions: map[int64][]sector{}, size: b.size}
	}
	return s
}

func (s *replayed) apply(e event) {
	switch {
	case e.file == nil:
		return
	case s.files[e.file] == nil:
		s.files[e.file] = &pending{durable: map[int64]sector{}, versions: map[int64][]sector{}}
	}
	if e.made != "" || e.removed != "" {
		s.later = append(s.later, e)
		return
	}
	if e.sync { // the journal of a file system covers names, whichever file is synced
		rename(s.names, s.later)
		s.later = nil
	}
	s.files[e.file].apply(e)
}

// rename carries out changes of names.
func rename(names map[string]*memory, events []event) {
	for _, e := range events {
		delete(names, e.removed)
		if e.made != "" {
			names[e.made] = e.file
		}
	}
}

// crash returns what a host may find. Changes of names reach the disk in their order.
func (s *replayed) crash(loss Loss, rng *rand.Rand) *Recorder {
	names := maps.Clone(s.names)
	n := len(s.later)
	switch loss {
	case LoseAll:
		n = 0
	case LoseRandom, LoseSome:
		n = rng.IntN(n + 1)
	}
	rename(names, s.later[:n])
	out := NewRecorder()
	for name, m := range names {
		p := s.files[m]
		c := &memory{rec: out, name: name, sectors: maps.Clone(p.durable), size: pick(p.size, p.sizes, loss, rng)}
		for k, versions := range p.versions {
			c.sectors[k] = pick(p.durable[k], versions, loss, rng)
		}
		for k := range c.sectors {
			if k*sectorSize >= c.size {
				delete(c.sectors, k)
			}
		}
		out.files[name] = c
	}
	return out
}

// Crashes calls survive with what a power failure, or the end of the program, may leave of the files: at each sync, and at one in between of the other
// moments since Settle, with unsynced changes lost and reordered. N is how many events came before. The first error ends it.
func (r *Recorder) Crashes(rng *rand.Rand, between int, survive func(n int, left *Recorder) error) (states int, err error) {
	state := r.replay()
	for n := range len(r.log) + 1 {
		at := n == len(r.log) || r.log[n].sync
		for loss := LoseAll; loss <= LoseSome; loss++ {
			// Between syncs the power may fail, or the program be killed, which loses nothing of what it wrote.
			if !at && (loss != LoseRandom && loss != LoseNone || rng.IntN(between) != 0) {
				continue
			}
			states++
			if err := survive(n, state.crash(loss, rng)); err != nil {
				return states, fmt.Errorf("power lost after event %d of %d, loss %d: %w", n, len(r.log), loss, err)
			}
		}
		if n < len(r.log) {
			state.apply(r.log[n])
		}
	}
	return states, nil
}

// pick chooses among a durable value and the later ones.
func pick[T any](durable T, later []T, loss Loss, rng *rand.Rand) T {
	n := len(later)
	switch {
	case n == 0 || loss == LoseAll:
		return durable
	case loss == LoseNone || loss == LoseSome && rng.IntN(8) != 0:
		return later[n-1]
	}
	if k := rng.IntN(n + 1); k > 0 {
		return later[k-1]
	}
	return durable
}

// handle is an open file.
type handle struct {
	*memory
	write bool
}

var _ disk.File = (*handle)(nil)

func (h *handle) Name() string { return h.name }
func (h *handle) Close() error { return nil }

func (h *handle) Size() (int64, error) {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	return h.size, nil
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	n := 0
	for n < len(p) && off+int64(n) < h.size {
		at := off + int64(n)
		m := min(len(p)-n, int(sectorSize-at%sectorSize), int(h.size-at))
		if s := h.sectors[at/sectorSize]; s != nil {
			copy(p[n:n+m], s[at%sectorSize:])
		} else {
			clear(p[n : n+m])
		}
		n += m
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// change overwrites [off, off+n) with p, or with zeroes if p is nil, and records the event. Called with the lock held.
func (h *handle) change(p []byte, off, n, size int64) {
	e := event{file: h.memory, sectors: map[int64]sector{}, size: size}
	if p == nil {
		h.clear(e, off, off+n)
		n = 0
	}
	for done := int64(0); done < n; {
		at := off + done
		m := min(n-done, sectorSize-at%sectorSize)
		s := new([sectorSize]byte)
		if old := h.sectors[at/sectorSize]; old != nil {
			*s = *old
		}
		copy(s[at%sectorSize:], p[done:done+m])
		e.sectors[at/sectorSize], h.sectors[at/sectorSize] = s, s
		done += m
	}
	h.size = size
	h.rec.log = append(h.rec.log, e)
}

// clear makes [off, end) zeroes, as part of e. It looks only at sectors that were ever written, because the range may be huge.
func (h *handle) clear(e event, off, end int64) {
	wipe := func(k int64) {
		old, at := h.sectors[k], k*sectorSize
		if old == nil || at+sectorSize <= off || at >= end {
			return
		}
		s := new([sectorSize]byte)
		*s = *old
		clear(s[max(0, off-at):min(sectorSize, end-at)])
		e.sectors[k], h.sectors[k] = s, s
	}
	if (end-off)/sectorSize > int64(len(h.sectors)) {
		for k := range h.sectors {
			wipe(k)
		}
		return
	}
	for k := off / sectorSize; k*sectorSize < end; k++ {
		wipe(k)
	}
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	if !h.write {
		return 0, fmt.Errorf("%s: written though opened read-only", h.name)
	}
	if h.rec.Fault != nil {
		if err := h.rec.Fault(false, off); err != nil {
			return 0, err
		}
	}
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	h.change(p, off, int64(len(p)), max(h.size, off+int64(len(p))))
	return len(p), nil
}

func (h *handle) ReadvAt(bufs [][]byte, off int64) (total int, err error) {
	for _, b := range bufs {
		n, err := h.ReadAt(b, off+int64(total))
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

func (h *handle) WritevAt(bufs [][]byte, off int64) (total int, err error) {
	for _, b := range bufs {
		n, err := h.WriteAt(b, off+int64(total))
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}

func (h *handle) Sync() error {
	if h.rec.Fault != nil {
		if err := h.rec.Fault(true, 0); err != nil {
			return err
		}
	}
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	h.rec.log = append(h.rec.log, event{file: h.memory, sync: true, size: h.size})
	return nil
}

func (h *handle) Truncate(size int64) error {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	if size >= h.size {
		h.change(nil, 0, 0, size)
		return nil
	}
	e := event{file: h.memory, sectors: map[int64]sector{}, size: size}
	for k, s := range h.sectors {
		at := k * sectorSize
		if at+sectorSize <= size || s == nil {
			continue
		}
		rest := new([sectorSize]byte)
		if at < size {
			copy(rest[:size-at], s[:])
		}
		e.sectors[k], h.sectors[k] = rest, rest
	}
	h.size = size
	h.rec.log = append(h.rec.log, e)
	return nil
}

func (h *handle) Zero(off, length int64, _ bool) error {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	if n := min(length, h.size-off); n > 0 {
		h.change(nil, off, n, h.size)
	}
	return nil
}

func (h *handle) Discard(off, length int64) error { return h.Zero(off, length, true) }

// NextData takes sectors that were never written, or cut off, for holes.
func (h *handle) NextData(off int64) (start, end int64, err error) {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	start, end = h.size, h.size
	for n, s := range h.sectors {
		if at := n * sectorSize; s != nil && at+sectorSize > off && at < start {
			start = max(off, at)
		}
	}
	// The run goes on as long as there are sectors.
	if start < h.size {
		for end = start; end < h.size && h.sectors[end/sectorSize] != nil; {
			end = min(h.size, end/sectorSize*sectorSize+sectorSize)
		}
	}
	return start, end, nil
}
