package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestFramesSurviveTheJourney(t *testing.T) {
	var buf bytes.Buffer
	w, r := NewWriter(&buf), NewReader(&buf)
	for _, f := range []Frame{
		{Kind: KindData, Stream: Stderr, Payload: []byte("a\x00b\xff")},
		{Kind: KindEOF, Stream: Stdout, Payload: []byte{}},
		{Kind: KindData, Stream: Stdin, Payload: bytes.Repeat([]byte{7}, MaxPayload)},
	} {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
		got, err := r.Read()
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("sent %v %d bytes, got %v %d bytes, %v", f.Kind, len(f.Payload), got.Kind, len(got.Payload), err)
		}
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v instead of io.EOF", err)
	}
	if err := w.Write(Frame{Kind: KindData, Payload: make([]byte, MaxPayload+1)}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a payload that is too long: %v", err)
	}
	if buf.Len() != 0 {
		t.Errorf("a refused frame left %d bytes", buf.Len())
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"kind 0":          {"\x00\x00\x00\x00\x00\x00\x00\x00", ErrMalformed},
		"unknown kind":    {"\xff\x00\x00\x00\x00\x00\x00\x00", ErrMalformed},
		"unknown stream":  {"\x03\x03\x00\x00\x00\x00\x00\x00", ErrMalformed},
		"reserved bytes":  {"\x03\x01\x00\x01\x00\x00\x00\x00", ErrMalformed},
		"too long":        {"\x03\x01\x00\x00\xf9\x7f\x00\x00", ErrMalformed},
		"half a header":   {"\x03\x01\x00", io.ErrUnexpectedEOF},
		"half a payload":  {"\x03\x01\x00\x00\x04\x00\x00\x00ab", io.ErrUnexpectedEOF},
		"missing payload": {"\x03\x01\x00\x00\x04\x00\x00\x00", io.ErrUnexpectedEOF},
	} {
		if _, err := NewReader(strings.NewReader(c.in)).Read(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v instead of %v", name, err, c.want)
		}
	}
}

func TestStartIsBinaryClean(t *testing.T) {
	want := Start{
		Args:     []string{"cmd", "\xff\xfe", ""},
		Env:      []string{"X=" + strings.Repeat("\x80", 3*MaxPayload)},
		Dir:      "/a,b c/\xf0",
		Terminal: &Terminal{On: [Streams]bool{true, false, true}, Size: Size{Rows: 24, Cols: 80}},
		Shares:   []Share{{Tag: "t", Path: "/p"}},
		CR8:      true,
	}
	var buf bytes.Buffer
	if err := NewWriter(&buf).WriteStart(want); err != nil {
		t.Fatal(err)
	}
	got, err := NewReader(&buf).ReadStart()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %.200v, %v", got, err)
	}
	if err := NewWriter(io.Discard).WriteStart(Start{Env: []string{strings.Repeat("x", maxStart)}}); err == nil {
		t.Error("a start beyond the limit was sent")
	}
}

func TestReadStartIsBounded(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		out := NewWriter(w)
		for out.Write(Frame{Kind: KindStart, Payload: make([]byte, MaxPayload)}) == nil {
		}
	}()
	defer r.Close()
	if _, err := NewReader(r).ReadStart(); !errors.Is(err, ErrMalformed) {
		t.Errorf("an endless start: %v", err)
	}
}

func TestExitStatus(t *testing.T) {
	for e, want := range map[Exit]int{{}: 0, {Code: 7}: 7, {Signal: 9}: 137, {Code: 255}: 255} {
		if got := e.Status(); got != want {
			t.Errorf("%+v: status %d instead of %d", e, got, want)
		}
	}
}

// FuzzReader feeds bytes to everything that decodes them: no panic, and what is accepted is sent again as the same bytes.
func FuzzReader(f *testing.F) {
	var seed bytes.Buffer
	w := NewWriter(&seed)
	w.Write(Frame{Kind: KindData, Stream: Stdout, Payload: []byte("hello")})
	w.WriteUint32(KindCredit, Stdin, 5)
	w.WriteMessage(KindExit, Exit{Code: 3})
	w.WriteMessage(KindResize, Size{Rows: 1, Cols: 2})
	f.Add(seed.Bytes())
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		r := NewReader(in)
		for {
			before := len(b) - in.Len()
			frame, err := r.Read()
			if err != nil {
				break
			}
			var again bytes.Buffer
			if err := NewWriter(&again).Write(frame); err != nil {
				t.Fatal(err)
			}
			if used := b[before : len(b)-in.Len()]; !bytes.Equal(again.Bytes(), used) {
				t.Fatalf("% x became % x", used, again.Bytes())
			}
			_, _ = frame.Uint32()
			_ = frame.Decode(new(Exit))
			_ = frame.Decode(new(Size))
			_ = frame.Decode(new(Hello))
		}
		_, _ = NewReader(bytes.NewReader(b)).ReadStart()
	})
}
