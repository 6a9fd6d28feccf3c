package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
)

// What this agent speaks of the SPICE agent protocol (spice-protocol, vd_agent.h).
const (
	spicePort      = "com.redhat.spice.0"
	spiceClipboard = 4
	spiceAnnounce  = 6
	spiceGrab      = 7
	spiceRequest   = 8
	spiceCaps      = 1<<5 | 1<<6 // by demand, with selections
	spiceText      = 1
	spiceMost      = 1 << 20 // bytes of a message
)

var errHungUp = errors.New("the machine has closed the port")

// clipboard is the agent of a user who copies each text that the host hands over, with a word in front, until that text is "end". What is shared is said on the console.
func clipboard(string) error {
	const limit = 10 * time.Second
	path, err := setup.FindPort(spicePort, limit)
	if err != nil {
		return err
	}
	for {
		if err := talkSpice(path); !errors.Is(err, errHungUp) {
			return err
		}
		say("clipboard: the machine has hung up")
	}
}

// talkSpice opens the port and talks until the host closes it.
func talkSpice(path string) error {
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	in := bufio.NewReader(&spiceChunks{in: port})
	own := ""
	for {
		kind, data, err := readSpice(in)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errHungUp
		}
		if err != nil {
			return err
		}
		switch {
		case kind == spiceAnnounce:
			if len(data) > 0 && data[0] == 1 {
				err = writeSpice(port, spiceAnnounce, "", 0, spiceCaps)
				say("clipboard: ready")
			}
		case kind == spiceGrab:
			err = writeSpice(port, spiceRequest, "", 0, spiceText)
		case kind == spiceRequest:
			err = writeSpice(port, spiceClipboard, own, 0, spiceText)
		case kind == spiceClipboard && len(data) >= 8:
			text := string(data[8:])
			say("clipboard: %d bytes from the host, %q", len(text), text[:min(len(text), 40)])
			if text == "end" {
				return nil
			}
			own = "the guest has " + text
			err = writeSpice(port, spiceGrab, "", 0, spiceText)
		}
		if err != nil {
			return fmt.Errorf("talk with the machine: %w", err)
		}
	}
}

// spiceChunks is what is in the chunks of the port.
type spiceChunks struct {
	in   io.Reader
	left uint32
}

func (c *spiceChunks) Read(p []byte) (int, error) {
	for c.left == 0 {
		var head [8]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return 0, err
		}
		c.left = binary.LittleEndian.Uint32(head[4:])
	}
	n, err := c.in.Read(p[:min(uint32(len(p)), c.left)])
	c.left -= uint32(n)
	return n, err
}

func readSpice(in io.Reader) (kind uint32, data []byte, err error) {
	var head [20]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.LittleEndian.Uint32(head[16:])
	if binary.LittleEndian.Uint32(head[:]) != 1 || size > spiceMost {
		return 0, nil, fmt.Errorf("the machine's message begins with % x", head)
	}
	data = make([]byte, size)
	_, err = io.ReadFull(in, data)
	return binary.LittleEndian.Uint32(head[4:]), data, err
}

// writeSpice says words and a text, in one chunk as Debian's agent does.
func writeSpice(out io.Writer, kind uint32, text string, words ...uint32) error {
	le := binary.LittleEndian
	size := 4*len(words) + len(text)
	b := le.AppendUint32(le.AppendUint32(nil, 1), uint32(20+size))
	b = le.AppendUint32(le.AppendUint32(b, 1), kind)
	b = le.AppendUint32(le.AppendUint64(b, 0), uint32(size))
	for _, w := range words {
		b = le.AppendUint32(b, w)
	}
	_, err := io.Copy(out, strings.NewReader(string(b)+text))
	return err
}
