package vnc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zlib"

	"github.com/sharevm/vmm/display/frontend"
)

// The clipboard comes in two ways: as Latin-1 in cut text messages (RFC 6143, section 7.5.6), and in UTF-8 for viewers that know the extended clipboard (rfbproto, Extended
// Clipboard Pseudo-Encoding), of which text alone is spoken: a side tells that it has a text, and hands it over when asked for it.

// Flags of the extended clipboard.
const (
	clipText    = 1 << 0
	clipCaps    = 1 << 24
	clipRequest = 1 << 25
	clipPeek    = 1 << 26
	clipNotify  = 1 << 27
	clipProvide = 1 << 28
)

const (
	// maxUnasked is what a viewer may hand over without being asked, in bytes.
	maxUnasked = frontend.MaxClipboard
	// maxPacked bounds a message, whose text may have each end of a line doubled and may be of the kind that cannot be compressed.
	maxPacked = 2*frontend.MaxClipboard + 4096
)

// cutText takes the viewer's clipboard.
func (c *client) cutText() error {
	var head [7]byte
	if err := c.take(head[:]); err != nil {
		return err
	}
	n := int64(int32(binary.BigEndian.Uint32(head[3:])))
	if n < 0 {
		return c.extendedCut(-n)
	}
	if n > frontend.MaxClipboard {
		return fmt.Errorf("a clipboard of %d bytes", n)
	}
	b := make([]byte, n)
	if err := c.take(b); err != nil {
		return err
	}
	if c.clip == nil {
		return nil
	}
	var text strings.Builder
	for _, v := range b {
		text.WriteRune(rune(v))
	}
	c.clip.Set(text.String())
	return nil
}

// extendedCut takes a message of the extended clipboard, of n bytes.
func (c *client) extendedCut(n int64) error {
	if n < 4 || n > maxPacked {
		return fmt.Errorf("a message of %d bytes about the clipboard", n)
	}
	b := make([]byte, n)
	if err := c.take(b); err != nil {
		return err
	}
	flags := binary.BigEndian.Uint32(b)
	if c.clip == nil || flags&clipText == 0 {
		return nil
	}
	switch {
	case flags&clipCaps != 0:
		c.owe(func(o *owed) { c.clipCaps = flags })
	case flags&clipRequest != 0:
		c.owe(func(o *owed) { o.provide = true })
	case flags&clipPeek != 0:
		c.owe(func(o *owed) { o.hasCut = true })
	case flags&clipNotify != 0:
		c.owe(func(o *owed) { o.ask = true })
	case flags&clipProvide != 0:
		text, err := unpackText(b[4:])
		if err != nil {
			return fmt.Errorf("the clipboard: %w", err)
		}
		c.clip.Set(text)
	}
	return nil
}

var errText = errors.New("not a text of the extended clipboard")

// unpackText reads a text: its length, then the text with CR LF and a final zero, compressed.
func unpackText(packed []byte) (string, error) {
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	var size [4]byte
	if _, err := io.ReadFull(z, size[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 2*frontend.MaxClipboard+1 {
		return "", fmt.Errorf("%w: %d bytes", errText, n)
	}
	var b bytes.Buffer // grows with what is there
	if _, err := io.CopyN(&b, z, int64(n)); err != nil {
		return "", err
	}
	text := strings.ReplaceAll(strings.TrimSuffix(b.String(), "\x00"), "\r\n", "\n")
	if !utf8.ValidString(text) {
		return "", errText
	}
	return text, nil
}

// packText is the opposite of unpackText.
func packText(text string) []byte {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = z.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text)+1))) // a bytes.Buffer takes all
	_, _ = io.WriteString(z, text+"\x00")
	_ = z.Close()
	return b.Bytes()
}

// sendClipboard tells the viewer what w owes it of the clipboard.
func (c *client) sendClipboard(w *work) error {
	send := func(flags uint32, body []byte) error {
		b := binary.BigEndian.AppendUint32([]byte{3, 0, 0, 0}, uint32(-int32(4+len(body))))
		b = binary.BigEndian.AppendUint32(b, flags)
		return c.sendNow(append(b, body...))
	}
	if w.clipStart {
		sizes := binary.BigEndian.AppendUint32(nil, maxUnasked)
		if err := send(clipCaps|clipRequest|clipPeek|clipNotify|clipProvide|clipText, sizes); err != nil {
			return err
		}
	}
	if w.ask {
		if err := send(clipRequest|clipText, nil); err != nil {
			return err
		}
	}
	if w.hasCut && !w.caps.extendedClip {
		if err := c.sendLatin(w.cut); err != nil {
			return err
		}
	}
	tell := w.hasCut && w.caps.extendedClip && w.cut != ""
	if tell && w.clipCaps&clipNotify != 0 {
		if err := send(clipNotify|clipText, nil); err != nil {
			return err
		}
		tell = false
	}
	if (tell || w.provide) && w.cut != "" {
		return send(clipProvide|clipText, packText(w.cut))
	}
	return nil
}

// sendLatin tells the viewer what is on the clipboard, in Latin-1; what that lacks becomes a question mark.
func (c *client) sendLatin(text string) error {
	latin := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			r = '?'
		}
		latin = append(latin, byte(r))
	}
	return c.sendNow(append(binary.BigEndian.AppendUint32([]byte{3, 0, 0, 0}, uint32(len(latin))), latin...))
}

func (c *client) sendNow(b []byte) error {
	if _, err := c.out.Write(b); err != nil {
		return err
	}
	return c.out.Flush()
}
