package journal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stamp is how a line says when it ended.
const stamp = "2006-01-02T15:04:05.000Z"

// Entry is a line of a journal.
type Entry struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	Text   string    `json:"text"`
}

// String is the entry as it stands in its file.
func (e Entry) String() string { return e.Time.UTC().Format(stamp) + " " + e.Source + " " + e.Text }

// parse reads a line. One that somebody else has written is an entry without time.
func parse(line string) Entry {
	at, rest, _ := strings.Cut(line, " ")
	source, text, ok := strings.Cut(rest, " ")
	t, err := time.Parse(stamp, at)
	if err != nil || !ok {
		return Entry{Text: string((&cleaner{}).append(nil, []byte(line)))}
	}
	return Entry{t, source, string((&cleaner{}).append(nil, []byte(text)))}
}

// ErrNone is wrapped where there is no journal of a machine.
var ErrNone = errors.New("nothing is kept of such a machine")

// lookEvery is how soon Follow sees what is new.
const lookEvery = 100 * time.Millisecond

// Read calls each with the entries of the journal of the machine of that id, the oldest first, until that errs.
func Read(folder, id string, each func(Entry) error) error {
	return read(context.Background(), folder, id, 0, each)
}

// Follow is Read, and then waits for more, until ctx ends or the machine's process has ended.
func Follow(ctx context.Context, folder, id string, each func(Entry) error) error {
	return read(ctx, folder, id, lookEvery, each)
}

// read looks for more every so often; 0 is for what there is now.
func read(ctx context.Context, folder, id string, every time.Duration, each func(Entry) error) error {
	name, err := path(folder, id)
	if err != nil {
		return err
	}
	const flags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	f, err := os.OpenFile(name, flags, 0)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%q: %w (vmm logs lists those that there are)", id, ErrNone)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	before := func(offset int64) error { // what the older file holds from there on
		old, err := os.OpenFile(name+older, flags, 0)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer old.Close()
		_, err = lines(old, offset, each)
		return err
	}
	if err := before(0); err != nil {
		return err
	}
	var offset int64
	for {
		written := isWritten(name) // asked first: what it has said by its end is there when it has ended
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() < offset { // it has become the older one
			if err := before(offset); err != nil {
				return err
			}
			offset = 0
		}
		n, err := lines(f, offset, each)
		offset += n
		if err != nil || every == 0 || !written && n == 0 {
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// lines reads whole lines from an offset to the end, and returns how many bytes these were.
func lines(f *os.File, offset int64, each func(Entry) error) (n int64, err error) {
	r := bufio.NewReader(io.NewSectionReader(f, offset, 1<<62))
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // nothing that was written here is as long
			n += int64(len(line))
			continue
		}
		if err == io.EOF {
			return n, nil // its end is still to be written
		}
		if err != nil {
			return n, err
		}
		n += int64(len(line))
		if err := each(parse(string(bytes.TrimSuffix(line, []byte{'\n'})))); err != nil {
			return n, err
		}
	}
}
