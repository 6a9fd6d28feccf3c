package vnc

import (
	"bytes"
	"encoding/binary"
	"image"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/display/frontend"
)

// extended is a message of the extended clipboard.
type extended struct {
	flags uint32
	data  []byte
}

// cutText takes the rest of a message about the clipboard.
func (v *viewer) cutText() {
	v.t.Helper()
	v.read(3)
	n := int(int32(v.u32()))
	if n >= 0 {
		v.cut = string(v.read(n))
		return
	}
	b := v.read(-n)
	v.ext = append(v.ext, extended{binary.BigEndian.Uint32(b), b[4:]})
}

// clipboard waits for a message of the extended clipboard.
func (v *viewer) clipboard(flags uint32) []byte {
	v.t.Helper()
	for len(v.ext) == 0 {
		v.all()
	}
	m := v.ext[0]
	if v.ext = v.ext[1:]; m.flags != flags {
		v.t.Fatalf("flags %#x, want %#x", m.flags, flags)
	}
	return m.data
}

func (v *viewer) say(flags uint32, data []byte) {
	v.t.Helper()
	b := binary.BigEndian.AppendUint32([]byte{msgCutText, 0, 0, 0}, uint32(-int32(4+len(data))))
	v.write(append(binary.BigEndian.AppendUint32(b, flags), data...))
}

func TestExtendedClipboard(t *testing.T) {
	s, _ := screen(t, "", 20, 20)
	text := make(chan string, 9)
	guest := s.cfg.Machine.Clipboard.Join(func(s string) { text <- s })
	v := connect(t, s)
	v.setEncodings(encodingRaw, encodingExtendedClip)
	if sizes := v.clipboard(clipCaps | clipRequest | clipPeek | clipNotify | clipProvide | clipText); len(sizes) != 4 {
		t.Errorf("sizes % x", sizes)
	}
	long := strings.Repeat("\n€ü", frontend.MaxClipboard/6)
	for _, want := range []string{"ü€\nx", long} {
		guest.Set(want)
		v.clipboard(clipNotify | clipText)
		v.say(clipRequest|clipText, nil)
		if got, err := unpackText(v.clipboard(clipProvide | clipText)); err != nil || got != want {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		v.say(clipPeek|clipText, nil)
		v.clipboard(clipNotify | clipText)

		v.say(clipNotify|clipText, nil)
		v.clipboard(clipRequest | clipText)
		v.say(clipProvide|clipText, packText(want+"!"))
		if len(want) < 100 {
			if got := <-text; got != want+"!" {
				t.Errorf("%q", got)
			}
		}
	}
	v.say(clipNotify|2, nil) // a form that we do not know
	v.say(clipCaps|clipProvide|clipText, make([]byte, 4))
	v.request(true, image.Rectangle{Max: v.size})
	guest.Set("unasked") // to a viewer that does not know how to ask
	for len(v.ext) == 0 {
		v.all()
	}
	if v.ext[0].flags == clipNotify|clipText { // what it says of itself came later
		v.ext = v.ext[1:]
		guest.Set("unasked again")
	}
	if got, err := unpackText(v.clipboard(clipProvide | clipText)); err != nil || !strings.HasPrefix(got, "unasked") {
		t.Errorf("%q, %v", got, err)
	}
	if v.cut != "" {
		t.Errorf("%q came in Latin-1 too", v.cut)
	}
}

// TestBadTexts unpacks what is no text.
func TestBadTexts(t *testing.T) {
	pack := func(size uint32, data []byte) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		z.Write(binary.BigEndian.AppendUint32(nil, size))
		z.Write(data)
		z.Close()
		return b.Bytes()
	}
	for name, packed := range map[string][]byte{
		"nothing": nil, "not zlib": []byte("hello world"), "cut": packText("hello")[:9], "no text": pack(2, []byte{0xff, 0}), "less than said": pack(9, []byte("hello")),
		"a bomb": pack(64<<20, make([]byte, 64<<20)),
	} {
		if text, err := unpackText(packed); err == nil {
			t.Errorf("%s: %q", name, text[:min(len(text), 40)])
		}
	}
}
