package machine

import (
	"errors"
	"os"
	"time"

	"github.com/sharevm/vmm/internal/guard"
	"github.com/sharevm/vmm/machine/snapshot"
	"github.com/sharevm/vmm/vmm/memory"
)

// working is which pages of memory machines need first that go on from a snapshot: known, or to be found out.
type working struct {
	set []memory.Extent
	// file takes the set in, and pagemap tells it; nil where there is nothing to find out. Both are opened before the process is confined.
	file, pagemap *os.File
	// exact has the set hold the pages that are touched, and none of those that lie around them; it is written when the machine is powered off.
	exact bool
}

// openWorking opens what a snapshot's folder knows. It is only a help, so that nothing here fails.
func openWorking(dir string) (w working) {
	set, file, err := snapshot.OpenWorking(dir)
	if err != nil || file == nil {
		return working{set: set}
	}
	pagemap, err := memory.Pagemap()
	if err != nil {
		file.Close()
		return working{}
	}
	return working{file: file, pagemap: pagemap}
}

// rehearse prepares that the set is exact: of memory, the file of RAM, nothing may lie in the page cache. It errs where there is nothing to find out.
func (w *working) rehearse(ram *os.File) error {
	if w.file == nil {
		return errors.New("which pages of the snapshot are needed first is known, or another machine finds it out")
	}
	w.exact = true
	return memory.Uncache(ram)
}

// reading is how the file of RAM is to be read.
func (w *working) reading() memory.Reading {
	switch {
	case w.exact:
		return memory.Single
	case len(w.set) > 0:
		return memory.Near
	}
	return memory.Wide
}

func (w *working) close() {
	for _, f := range []*os.File{w.file, w.pagemap} {
		if f != nil {
			f.Close()
		}
	}
	w.file, w.pagemap = nil, nil
}

const (
	// firstUse is how long a guest's first pages are looked for: what it does next is no longer going on, but work.
	firstUse = 2 * time.Second
	// What it does when somebody uses it for the first time is what that person waits for: so the pages are looked for again when that is soon, answer after it, and then each time
	// that it is twice as long ago, until longAnswer, while there are more of them by a part of enough: on a slow host the guest has not answered any earlier.
	soon, answer, longAnswer = 15 * time.Second, time.Second, 16 * time.Second
	enough                   = 16
	inputLook                = 100 * time.Millisecond
)

// prefetch gets the pages that are known to be needed, while the rest of the board is made.
func (b *board) prefetch() {
	set := b.from.working.set
	if len(set) == 0 {
		return
	}
	b.aside("prefetch", func(stop <-chan struct{}) {
		b.mem.Prefetch(set, b.restored, stop)
		b.m.opt.Timeline.Add("working set mapped")
	})
}

// record finds out which pages the guest uses first. The snapshot is closed by then.
func (b *board) record() {
	w := b.from.working
	if w.file == nil {
		return
	}
	b.from.working = working{}
	input := &b.m.input
	before := input.Sent() // what was typed before comes soon
	b.aside("working set", func(stop <-chan struct{}) {
		defer w.close()
		if w.exact {
			if <-stop; b.m.rehearsed.Load() {
				_, _ = b.recordNow(&w)
			}
			return
		}
		if !pause(firstUse, stop) {
			return
		}
		if _, ok := b.recordNow(&w); !ok {
			return
		}
		for end := time.Now().Add(soon); input.Sent() == before; {
			if !pause(inputLook, stop) || time.Now().After(end) {
				return
			}
		}
		follow(answer, longAnswer, stop, func() (int, bool) { return b.recordNow(&w) })
	})
}

// follow looks at something that grows, first and each time that twice as long has passed up to last, until it grows no more, or a look fails.
func follow(first, last time.Duration, stop <-chan struct{}, look func() (size int, ok bool)) {
	begun := time.Now()
	for at, before := first, 0; at <= last && pause(time.Until(begun.Add(at)), stop); at *= 2 {
		size, ok := look()
		if !ok || size <= before+before/enough {
			return
		}
		before = size
	}
}

// Rehearsed says that a rehearsal (Options.Rehearse) has come to its end: what the guest has used is noted when the machine is powered off.
func (m *Machine) Rehearsed() { m.rehearsed.Store(true) }

// recordNow writes which pages the guest has used so far, and says how many there are.
func (b *board) recordNow(w *working) (pages int, ok bool) {
	set, err := b.mem.Resident(w.pagemap)
	if err == nil {
		err = snapshot.WriteWorking(w.file, set)
	}
	if err != nil {
		b.m.log.Warn("the working set of the snapshot is not recorded", "error", err)
	}
	for _, e := range set {
		pages += int(e.Pages)
	}
	return pages, err == nil
}

// pause waits, and returns false where it is stopped before.
func pause(length time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

// aside runs f beside the board's work. It ends before RAM goes away.
func (b *board) aside(name string, f func(stop <-chan struct{})) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer guard.Panic(b.m.log, name)
		f(stop)
	}()
	b.closers = append(b.closers, closeFunc(func() {
		close(stop)
		<-ended
	}))
}
