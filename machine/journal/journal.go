package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/spool"
	"github.com/sharevm/vmm/internal/throttle"
)

// The sources of lines.
const (
	Guest = "guest" // what the guest printed on its console
	Host  = "vmm"   // what the machine's process said
)

// rate is how fast a source may fill the journal, in bytes; a boot that tells all it does stays within the burst.
var rate = throttle.Rate{PerSecond: 64 << 10, Burst: 256 << 10}

// Journal is what a machine's process writes. Writing to it never waits for a disk. What is said before Open is kept (64 KiB of it), and written then.
type Journal struct {
	out   *spool.Writer
	bound chan struct{} // closed by Open and Close
	once  sync.Once
	files *files // nil before Open, and after a Close without it
}

// New returns a Journal that has no files yet.
func New() *Journal {
	j := &Journal{bound: make(chan struct{})}
	j.out = spool.New(binding{j})
	return j
}

// binding is the files, once there are some.
type binding struct{ j *Journal }

func (b binding) Write(p []byte) (int, error) {
	<-b.j.bound
	if b.j.files == nil {
		return len(p), nil
	}
	return b.j.files.Write(p)
}

// Open has the journal written for the machine of that id, behind what earlier machines of that id have said. It errs where another process does that.
func (j *Journal) Open(folder, id string) error {
	f, err := openFiles(folder, id, maxFile)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	bound := false
	j.once.Do(func() {
		j.files, bound = f, true
		close(j.bound)
	})
	if !bound {
		f.Close()
		return errors.New("journal: it is open, or closed")
	}
	return nil
}

// Tail is the last of what is in the files, whole lines of at most max bytes together. Without files it is empty.
func (j *Journal) Tail(max int) ([]byte, error) {
	select {
	case <-j.bound:
	default:
		return nil, nil
	}
	if j.files == nil {
		return nil, nil
	}
	return j.files.tail(max)
}

// Close writes what is still to be written, for a second at most.
func (j *Journal) Close() error {
	j.once.Do(func() { close(j.bound) })
	err := j.out.Close()
	if j.files != nil {
		err = errors.Join(err, j.files.Close())
	}
	return err
}

// maxLine bounds a line's text, in bytes; what is longer is continued in the next line.
const maxLine = 1024

// Source returns what takes the output of one source. It may be used by several goroutines.
func (j *Journal) Source(name string) io.Writer {
	return &source{j: j, name: name, bucket: throttle.NewBucket(clock.Host, rate), now: time.Now}
}

type source struct {
	j      *Journal
	name   string
	bucket *throttle.Bucket
	now    func() time.Time

	mu      sync.Mutex
	clean   cleaner
	line    []byte // that is still to end
	out     []byte
	dropped int // bytes
}

// Write implements io.Writer. It always succeeds.
func (s *source) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(p)
	if s.bucket.Delay() > 0 {
		s.dropped += n
		return n, nil
	}
	s.bucket.Take(int64(n))
	s.out = s.out[:0]
	if s.dropped > 0 {
		s.end()
		s.line = fmt.Appendf(s.line, "(%d bytes are left out here: they came too fast)", s.dropped)
		s.end()
		s.dropped = 0
	}
	for len(p) > 0 {
		text, rest, ends := bytes.Cut(p, []byte{'\n'})
		for len(text) > 0 {
			// Nothing becomes longer by being cleaned but a byte that is no UTF-8, which takes three.
			part := text[:min(len(text), maxLine)]
			s.line, text = s.clean.append(s.line, part), text[len(part):]
			for len(s.line) > maxLine {
				s.cut()
			}
		}
		if p = rest; ends {
			s.clean.reset()
			s.end()
		}
	}
	if len(s.out) > 0 {
		_, _ = s.j.out.Write(s.out) // it cannot fail
	}
	return n, nil
}

// cut ends a line that is too long, and begins the next one with what is left of it.
func (s *source) cut() {
	at := maxLine
	for !utf8.RuneStart(s.line[at]) {
		at--
	}
	rest := bytes.Clone(s.line[at:])
	s.line = s.line[:at]
	s.end()
	s.line = append(s.line, rest...)
}

// end ends the line, if there is anything in it.
func (s *source) end() {
	if len(s.line) == 0 {
		return
	}
	s.out = s.now().UTC().AppendFormat(s.out, stamp)
	s.out = append(append(append(s.out, ' '), s.name...), ' ')
	s.out = append(append(s.out, s.line...), '\n')
	s.line = s.line[:0]
}
