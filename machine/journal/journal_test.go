package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/internal/clock"
	"github.com/sharevm/vmm/internal/throttle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// texts are the texts of a journal's entries.
func texts(t *testing.T, folder, id string) (all []string) {
	t.Helper()
	err := Read(folder, id, func(e Entry) error {
		all = append(all, e.Source+" "+e.Text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestJournal says something before there is a file and after, from two sources, in two runs.
func TestJournal(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state", "vmm")
	for run := range 2 {
		j := New()
		guest, host := j.Source(Guest), j.Source(Host)
		fmt.Fprintf(host, "started %d\n", run)
		if err := j.Open(folder, "vm"); err != nil {
			t.Fatal(err)
		}
		if second := New(); second.Open(folder, "vm") == nil {
			t.Error("two write the same journal")
		} else {
			second.Close()
		}
		fmt.Fprint(guest, "Linux \x1b[1;31mversion\x1b[0m 6\r\nlogin: ")
		fmt.Fprint(guest, "root\r\n\r\n")
		if all, err := List(folder); err != nil || len(all) != 1 || all[0].ID != "vm" || !all[0].Running {
			t.Errorf("%+v, %v", all, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(guest, "too late")
	}
	run := func(n int) []string {
		return []string{fmt.Sprint("vmm started ", n), "guest Linux version 6", "guest login: root"}
	}
	if got, want := texts(t, folder, "vm"), slices.Concat(run(0), run(1)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if all, err := List(folder); err != nil || len(all) != 1 || all[0].Running || all[0].Size == 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := Read(folder, "other", nil); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	for _, id := range []string{"", "../vm", ".vm", "a/b"} {
		if err := Read(folder, id, nil); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestClosedWithoutFile has a machine end that was never to be kept.
func TestClosedWithoutFile(t *testing.T) {
	j := New()
	fmt.Fprintln(j.Source(Host), "nobody hears it")
	if b, err := j.Tail(100); len(b) != 0 || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if err := j.Open(t.TempDir(), "vm"); err == nil {
		t.Error("a closed journal was opened")
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"plain\ttext": "plain\ttext", "a\x00\x07\bb\x7fc": "abc", "\x1b[2J\x1b[1;1Hx": "x", "\x1b]0;title\x07x": "x", "\x1b]8;;http://a\x1b\\x": "x", "\x1bPq#1\x1b\\y": "y",
		"\x1b(Bx\x1bMy": "xy", "ü日": "ü日", "\xff\xc3(": "\ufffd\ufffd(", "\xc2\x9b31mx": "31mx", "\u202eabc": "abc", "\xe6\x97": "", "\x1b[": "",
	} {
		for _, size := range []int{1, len(text)} { // at once, and byte by byte
			var c cleaner
			var got []byte
			for part := range slices.Chunk([]byte(text), size) {
				got = c.append(got, part)
			}
			if string(got) != want {
				t.Errorf("%q: %q, want %q", text, got, want)
			}
		}
	}
}

// TestRotation writes five times what is kept, with a reader that follows: it sees every line once, and the files stay small.
func TestRotation(t *testing.T) {
	folder := t.TempDir()
	const limit, count = 4096, 400
	f, err := openFiles(folder, "vm", limit)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seen := make(chan string, count)
	ended := make(chan error, 1)
	go func() {
		ended <- read(ctx, folder, "vm", time.Millisecond, func(e Entry) error { seen <- e.Text; return nil })
	}()
	line := func(i int) string { return fmt.Sprintf("line %d %s", i, strings.Repeat("x", 30)) }
	for i := range count {
		if _, err := f.Write([]byte(Entry{time.Unix(1, 0), Guest, line(i)}.String() + "\n")); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != line(i) {
			t.Fatalf("line %d: %q", i, got)
		}
	}
	for _, name := range []string{"vm.log", "vm.log.1"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Size() > limit || info.Size() < limit/2 && name != "vm.log" {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if b, err := f.tail(200); err != nil || len(b) > 200 || bytes.Count(b, []byte{'\n'}) != 2 || !bytes.HasSuffix(b, []byte(line(count-1)+"\n")) {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := f.tail(1 << 20); err != nil || int64(len(b)) <= limit || !bytes.HasSuffix(b, []byte(line(count-1)+"\n")) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	f.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	last := ""
	if err := Read(folder, "vm", func(e Entry) error { last = e.Text; return nil }); err != nil || last != line(count-1) {
		t.Errorf("%q, %v", last, err)
	}
}

// TestFlood has a guest print without end, and lines without end: what is written is bounded, and says what is missing.
func TestFlood(t *testing.T) {
	folder := t.TempDir()
	j := New()
	if err := j.Open(folder, "vm"); err != nil {
		t.Fatal(err)
	}
	now := clock.NewFake(time.Unix(1, 0))
	s := &source{j: j, name: Guest, bucket: throttle.NewBucket(now, throttle.Rate{PerSecond: 1000, Burst: 5000}), now: now.Now}
	for range 1000 {
		if n, err := s.Write(bytes.Repeat([]byte("日"), 200)); n != 600 || err != nil {
			t.Fatal(n, err)
		}
	}
	now.Advance(time.Minute)
	fmt.Fprintln(s, "\nthe end")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got := texts(t, folder, "vm")
	total := 0
	for _, line := range got {
		if total += len(line); len(line) > maxLine+10 || strings.Contains(line, "\ufffd") {
			t.Errorf("%q", line)
		}
	}
	if total > 7000 || total < 5000 || got[len(got)-1] != "guest the end" || !strings.Contains(got[len(got)-2], "left out here") {
		t.Errorf("%d bytes: %q", total, got)
	}
}

// TestPrune keeps the latest, and those that are being written.
func TestPrune(t *testing.T) {
	folder := t.TempDir()
	for i := range 5 {
		name := filepath.Join(folder, fmt.Sprint("vm", i, suffix))
		for _, n := range []string{name, name + older} {
			if err := os.WriteFile(n, []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		at := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	running, err := openFiles(folder, "vm0", maxFile)
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	prune(folder, 2)
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(left) != 6 {
		t.Errorf("%v, %v", left, err)
	}
	if got := texts(t, folder, "vm4"); len(got) != 2 || got[0] != " x" {
		t.Errorf("%q", got)
	}
}

// TestFolder finds the user's folder.
func TestFolder(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	if got, err := Folder(); got != "/state/vmm" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	t.Setenv("XDG_STATE_HOME", "relative")
	t.Setenv("HOME", "/home/me")
	if got, err := Folder(); got != "/home/me/.local/state/vmm" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
}

// FuzzSource has a guest print anything, in pieces of any size: each line is printable, short, and in its file.
func FuzzSource(f *testing.F) {
	f.Add([]byte("login: \x1b[0mroot\r\n\xff\xc3"), 3)
	f.Add([]byte("\x1b]0;t\x1b\\\n\x1b[\n\x1bP"), 1)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		folder := t.TempDir()
		j := New()
		if err := j.Open(folder, "vm"); err != nil {
			t.Fatal(err)
		}
		w := j.Source(Guest)
		for p := range slices.Chunk(b, max(size%64, 1)) {
			_, _ = w.Write(p)
		}
		_ = j.Close()
		raw, err := os.ReadFile(filepath.Join(folder, "vm.log"))
		if err != nil || len(raw) > 0 && raw[len(raw)-1] != '\n' {
			t.Fatalf("%q, %v", raw, err)
		}
		n := 0
		if err := Read(folder, "vm", func(e Entry) error {
			if n++; e.Source != Guest || e.Time.IsZero() || e.Text == "" || len(e.Text) > maxLine || strings.ContainsFunc(e.Text, func(r rune) bool { return r < ' ' && r != '\t' }) {
				return fmt.Errorf("%q", e)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != bytes.Count(raw, []byte{'\n'}) {
			t.Fatalf("%d entries of %q", n, raw)
		}
	})
}

func BenchmarkSource(b *testing.B) {
	j := New()
	defer j.Close()
	if err := j.Open(b.TempDir(), "vm"); err != nil {
		b.Fatal(err)
	}
	s := &source{j: j, name: Guest, bucket: throttle.NewBucket(clock.Host, throttle.Rate{}), now: time.Now}
	line := []byte("[    0.123456] a line of about the length that a kernel's have, give or take\r\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		_, _ = s.Write(line)
	}
}
