package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
)

// What the kernel's sound/asound.h says of the controls of a card: the structures begin with the control's identity.
const (
	sndElementInfo  = 0xc110_5511
	sndElementWrite = 0xc4c8_5513
	sndInfoSize     = 272
	sndValueSize    = 1224

	sndName     = 20 // in the identity, 44 bytes
	sndIDSize   = 64
	sndType     = 64 // in the information
	sndCount    = 72
	sndMaximum  = 88 // of integers
	sndValues   = 72 // in a value, 64 bits each
	sndBoolean  = 1
	sndIntegers = 2
	sndElements = 64 // more than a card has
)

// unmute turns everything up that plays: Linux starts cards muted.
func unmute(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	le := binary.LittleEndian
	n := 0
	for id := uint32(1); id <= sndElements; id++ {
		info := make([]byte, sndInfoSize)
		le.PutUint32(info, id)
		if err := ioctl(f, sndElementInfo, info); err != nil {
			continue // there is none of this number
		}
		name, _, _ := bytes.Cut(info[sndName:sndName+44], []byte{0})
		kind, most := le.Uint32(info[sndType:]), uint64(1)
		if kind == sndIntegers {
			most = le.Uint64(info[sndMaximum:])
		}
		if !strings.Contains(string(name), "Playback") || kind != sndBoolean && kind != sndIntegers || most > 1<<16 {
			continue
		}
		value := make([]byte, sndValueSize)
		copy(value, info[:sndIDSize])
		for i := range min(le.Uint32(info[sndCount:]), 8) {
			le.PutUint64(value[sndValues+8*i:], most)
		}
		if err := ioctl(f, sndElementWrite, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		say("sound %s at %d", name, most)
		n++
	}
	if n == 0 {
		return fmt.Errorf("%s has nothing to turn up", path)
	}
	return nil
}
