package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// folder opens a folder with these files.
func folder(tb testing.TB, files map[string][]byte) *Folder {
	tb.Helper()
	dir := tb.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	f, err := OpenFolder(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	return f
}

// ask is a read request with options.
func ask(name string, options ...string) []byte {
	return []byte("\x00\x01" + strings.Join(append([]string{name, "octet"}, options...), "\x00") + "\x00")
}

func message(op, number int, rest string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(op))
	return append(binary.BigEndian.AppendUint16(b, uint16(number)), rest...)
}

// pattern is a file whose blocks differ.
func pattern(size int) []byte {
	var b []byte
	for i := uint32(0); len(b) < size; i++ {
		b = binary.BigEndian.AppendUint32(b, i*2654435761)
	}
	return b[:size]
}

// client is the other side of a transfer: a Conn whose time passes at once when nothing is to be read. It reads as RFC 1350 and RFC 7440 say.
type client struct {
	block, window int
	lose          func(n int) bool // the n-th datagram, of both directions together
	silent        bool

	datagrams int
	waits     []time.Duration // how long it was waited for in vain
	options   string          // that the server agreed to
	got       []byte
	last      int // number of the last block, counted on
	fresh     int // blocks since the last acknowledgement
	complete  bool
	refused   *Error
	replies   [][]byte
}

func (c *client) lost() bool {
	c.datagrams++
	return c.lose != nil && c.lose(c.datagrams)
}

func (c *client) reply(m []byte) {
	if !c.silent && !c.lost() {
		c.replies = append(c.replies, m)
	}
}

func (c *client) ack() {
	c.fresh = 0
	c.reply(message(opAck, c.last, ""))
}

func (c *client) Send(d []byte) {
	if c.lost() {
		return
	}
	switch binary.BigEndian.Uint16(d) {
	case opOptions:
		c.options = string(d[2:])
		c.ack()
	case opError:
		c.refused = &Error{Code(binary.BigEndian.Uint16(d[2:])), strings.TrimSuffix(string(d[4:]), "\x00")}
	case opData:
		if binary.BigEndian.Uint16(d[2:]) != uint16(c.last+1) {
			c.ack() // a gap, or one that came twice
			return
		}
		c.last++
		c.fresh++
		c.got = append(c.got, d[HeaderLen:]...)
		c.complete = len(d) < HeaderLen+c.block
		if c.complete || c.fresh == c.window {
			c.ack()
		}
	}
}

func (c *client) Receive(deadline time.Time) ([]byte, error) {
	if len(c.replies) == 0 {
		c.waits = append(c.waits, time.Until(deadline).Round(time.Second))
		return nil, os.ErrDeadlineExceeded
	}
	m := c.replies[0]
	c.replies = c.replies[1:]
	return m, nil
}

func TestTransfer(t *testing.T) {
	every := func(k int) func(int) bool { return func(n int) bool { return n%k == 0 } }
	for _, c := range []struct {
		name          string
		size          int
		options       []string
		block, window int
		agreed        string
		lose          func(int) bool
	}{
		{"empty", 0, nil, 512, 1, "", nil},
		{"one byte", 1, nil, 512, 1, "", nil},
		{"a whole block", 512, nil, 512, 1, "", nil},
		{"a byte more", 513, nil, 512, 1, "", nil},
		{"with loss", 100_000, nil, 512, 1, "", every(7)},
		{"blocks", 100_000, []string{"blksize", "1432"}, 1432, 1, "blksize\x001432\x00", nil},
		{"longer blocks than the link's", 100_000, []string{"BLKSIZE", "65464"}, 1468, 1, "blksize\x001468\x00", nil},
		{"size", 77, []string{"tsize", "0"}, 512, 1, "tsize\x0077\x00", nil},
		{"all options", 100_000, []string{"tsize", "0", "blksize", "1468", "windowsize", "4", "timeout", "3"}, 1468, 4, "blksize\x001468\x00windowsize\x004\x00timeout\x003\x00tsize\x00100000\x00", nil},
		{"window with loss", 300_000, []string{"blksize", "1024", "windowsize", "8"}, 1024, 8, "blksize\x001024\x00windowsize\x008\x00", every(11)},
		{"too wide a window", 100_000, []string{"windowsize", "65535"}, 512, 16, "windowsize\x0016\x00", nil},
		{"options that make no sense", 600, []string{"blksize", "7", "windowsize", "0", "timeout", "256", "tsize", "x", "multicast", ""}, 512, 1, "", nil},
		{"half an option", 600, []string{"tsize", "0", "blksize"}, 512, 1, "tsize\x00600\x00", nil},
		{"numbers that begin again", 8 * 70_000, []string{"blksize", "8"}, 8, 1, "blksize\x008\x00", nil},
		{"numbers that begin again in a window", 8 * 70_000, []string{"blksize", "8", "windowsize", "16"}, 8, 16, "blksize\x008\x00windowsize\x0016\x00", every(101)},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := pattern(c.size)
			f := folder(t, map[string][]byte{"boot/file": want})
			cl := &client{block: c.block, window: c.window, lose: c.lose}
			got, err := Serve(f, ask("boot/file", c.options...), 1468, cl)
			if err != nil || got != (Transfer{"boot/file", int64(c.size)}) {
				t.Fatalf("%+v, %v", got, err)
			}
			if !cl.complete || !bytes.Equal(cl.got, want) || cl.options != c.agreed {
				t.Errorf("%d bytes of %d, equal: %v, agreed to %q, want %q", len(cl.got), len(want), bytes.Equal(cl.got, want), cl.options, c.agreed)
			}
		})
	}
}

// A client that is gone is asked a few times, at longer and longer intervals.
func TestSilence(t *testing.T) {
	f := folder(t, map[string][]byte{"file": pattern(5000)})
	for want, options := range map[string][]string{
		"[1s 2s 4s 8s 8s 8s]":       nil,
		"[20s 20s 20s 20s 20s 20s]": {"timeout", "20"},
	} {
		cl := &client{block: 512, window: 1, silent: true}
		if _, err := Serve(f, ask("file", options...), 1468, cl); !errors.Is(err, ErrSilent) {
			t.Errorf("error %v", err)
		}
		if got := fmt.Sprint(cl.waits); got != want || cl.datagrams != tries {
			t.Errorf("waited %s, want %s, and sent %d datagrams", got, want, cl.datagrams)
		}
	}
}

func TestRefused(t *testing.T) {
	f := folder(t, map[string][]byte{"file": []byte("x"), "sub/file": []byte("y")})
	for _, c := range []struct {
		name    string
		message []byte
		want    Code
	}{
		{"nothing", nil, CodeIllegal},
		{"a byte", []byte{0}, CodeIllegal},
		{"write", []byte("\x00\x02file\x00octet\x00"), CodeAccess},
		{"an acknowledgement", message(opAck, 0, ""), CodeIllegal},
		{"no name", []byte("\x00\x01"), CodeIllegal},
		{"an empty name", []byte("\x00\x01\x00octet\x00"), CodeIllegal},
		{"a name without an end", []byte("\x00\x01file"), CodeIllegal},
		{"no mode", []byte("\x00\x01file\x00"), CodeIllegal},
		{"text", []byte("\x00\x01file\x00netascii\x00"), CodeIllegal},
		{"too long", ask(strings.Repeat("a/../", 110) + "file"), CodeIllegal},
		{"another file", ask("none"), CodeNotFound},
		{"a folder", ask("sub"), CodeNotFound},
		{"the folder", ask("/"), CodeNotFound},
		{"above", ask("../file/../../etc/passwd"), CodeNotFound},
		{"the host's", ask("/etc/passwd"), CodeNotFound},
		{"above as Windows writes it", ask(`..\..\etc\passwd`), CodeNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := &client{}
			_, err := Serve(f, c.message, 1468, cl)
			if cl.refused == nil || cl.refused.Code != c.want || err == nil || cl.datagrams != 1 {
				t.Errorf("the client got %v in %d datagrams, and the error is %v; want code %d", cl.refused, cl.datagrams, err, c.want)
			}
		})
	}
}

// What is in the folder is found however a client spells it.
func TestNames(t *testing.T) {
	f := folder(t, map[string][]byte{"sub/file": []byte("y")})
	for _, name := range []string{"sub/file", "/sub/file", `\sub\file`, "./sub//file", "../sub/file", "sub/./x/../file"} {
		cl := &client{block: 512, window: 1}
		if _, err := Serve(f, ask(name), 1468, cl); err != nil || string(cl.got) != "y" {
			t.Errorf("%s: %q, %v", name, cl.got, err)
		}
	}
}

func TestFolder(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func(dir string) error
		files int
		err   string
	}{
		{"links within", func(dir string) error {
			return errors.Join(os.Mkdir(dir+"/a", 0o755), os.WriteFile(dir+"/a/file", nil, 0o644), os.Symlink("a/file", dir+"/file"), os.Symlink("a", dir+"/b"))
		}, 3, ""},
		{"a link to nothing", func(dir string) error { return os.Symlink("none", dir+"/file") }, 0, ""},
		{"a pipe", func(dir string) error { return unix.Mkfifo(dir+"/pipe", 0o644) }, 0, ""},
		{"a link to the host's files", func(dir string) error { return os.Symlink("/etc/passwd", dir+"/file") }, 0, "file"},
		{"a link above", func(dir string) error { return os.Symlink("..", dir+"/up") }, 0, "up"},
		{"a circle", func(dir string) error { return os.Symlink(".", dir+"/again") }, 0, "too many levels"},
		{"many ways to nothing", func(dir string) (err error) { // 8 to the power of 8, by links within links
			for i := range 8 {
				err = errors.Join(err, os.Mkdir(fmt.Sprint(dir, "/", i), 0o755))
				for k := range 8 {
					err = errors.Join(err, os.Symlink(fmt.Sprint("../", i+1), fmt.Sprint(dir, "/", i, "/", k)))
				}
			}
			return errors.Join(err, os.Mkdir(dir+"/8", 0o755))
		}, 0, "more than 8192 names"},
		{"folders within each other", func(dir string) error { return os.MkdirAll(dir+strings.Repeat("/sub", maxDepth+1), 0o755) }, 0, "within each other"},
		{"many files", func(dir string) (err error) {
			for i := range MaxFiles + 1 {
				err = errors.Join(err, os.WriteFile(fmt.Sprint(dir, "/", i), nil, 0o644))
			}
			return err
		}, 0, "more than 512 files"},
		{"none", os.Remove, 0, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "boot")
			if err := errors.Join(os.Mkdir(dir, 0o755), c.make(dir)); err != nil {
				t.Fatal(err)
			}
			f, err := OpenFolder(dir)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), dir) {
					t.Errorf("error %v, want one about %s with %q", err, dir, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if len(f.files) != c.files {
				t.Errorf("%d files, want %d", len(f.files), c.files)
			}
		})
	}
}

// scripted is a client that says what it is given, whatever it is sent.
type scripted struct {
	replies [][]byte
	sent    int
	last    []byte
	most    int // longest datagram
}

func (c *scripted) Send(d []byte) {
	c.sent++
	c.most = max(c.most, len(d))
	c.last = append(c.last[:0], d...)
}

func (c *scripted) Receive(time.Time) ([]byte, error) {
	if len(c.replies) == 0 {
		return nil, os.ErrDeadlineExceeded
	}
	m := c.replies[0]
	c.replies = c.replies[1:]
	return m, nil
}

// A client's error ends the transfer; what makes no sense, or comes late, does not.
func TestReplies(t *testing.T) {
	f := folder(t, map[string][]byte{"file": pattern(2000)})
	noise := [][]byte{nil, {0}, message(opAck, 7, ""), message(opAck, 0, ""), message(opData, 1, "x"), message(opOptions, 0, "")}
	c := &scripted{replies: append(noise, message(opAck, 1, ""), message(opAck, 1, ""), message(opError, 3, "full\x00more"))}
	_, err := Serve(f, ask("file"), 1468, c)
	var told *Error
	if !errors.As(err, &told) || *told != (Error{3, "full"}) {
		t.Errorf("error %v", err)
	}
	if c.sent != 2 || binary.BigEndian.Uint16(c.last[2:]) != 2 {
		t.Errorf("%d datagrams, the last % x; want two blocks", c.sent, c.last[:4])
	}
}

func TestFileBecomesShorter(t *testing.T) {
	f := folder(t, map[string][]byte{"file": pattern(2000)})
	s := sender{file: f.files["file"], size: 3000, buf: make([]byte, HeaderLen+512), c: &scripted{replies: [][]byte{
		message(opAck, 1, ""), message(opAck, 2, ""), message(opAck, 3, ""),
	}}, request: request{block: 512, window: 1}}
	err := s.run()
	if err == nil || !strings.Contains(err.Error(), "has become shorter") {
		t.Errorf("error %v", err)
	}
	if last := s.c.(*scripted).last; binary.BigEndian.Uint16(last) != opError || bytes.Contains(last, []byte("/")) {
		t.Errorf("the client was told %q", last)
	}
}

// FuzzServe plays a client that asks and answers anything. The answers are messages behind their lengths.
func FuzzServe(f *testing.F) {
	answers := func(all ...[]byte) (b []byte) {
		for _, m := range all {
			b = append(append(b, byte(len(m))), m...)
		}
		return b
	}
	f.Add(ask("file"), answers(message(opAck, 1, ""), message(opAck, 2, "")))
	f.Add(ask("sub/file", "blksize", "8", "windowsize", "16", "tsize", "0"), answers(message(opAck, 0, ""), message(opAck, 16, ""), message(opAck, 3, ""), message(opError, 0, "enough")))
	f.Add(ask("../file", "timeout", "1"), answers([]byte{0}, nil))
	f.Add([]byte("\x00\x02file\x00octet\x00"), []byte{})
	served := folder(f, map[string][]byte{"file": pattern(900), "sub/file": pattern(3000)})
	f.Fuzz(func(t *testing.T, request, data []byte) {
		const most = 128
		c := &scripted{}
		for len(data) > 0 {
			n := min(int(data[0]), len(data)-1)
			c.replies = append(c.replies, data[1:1+n])
			data = data[1+n:]
		}
		bound := (len(c.replies) + 1) * tries * maxWindow
		Serve(served, request, most, c)
		if c.sent == 0 || c.sent > bound || c.most > MaxMessage {
			t.Fatalf("%d datagrams of up to %d bytes, at most %d wanted", c.sent, c.most, bound)
		}
	})
}
