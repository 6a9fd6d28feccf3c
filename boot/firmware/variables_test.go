package firmware

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
)

// entry is a variable of a store.
type entry struct {
	state  byte
	vendor guid
	name   string
	value  string
}

// newStore makes a variable store.
func newStore(entries ...entry) []byte {
	le := binary.LittleEndian
	b := make([]byte, 72)
	copy(b[volumeSignature:], "_FVH")
	le.PutUint16(b[volumeLength:], uint16(len(b)))
	header := append(guidStore[:16:16], make([]byte, storeHeaderSize-16)...)
	le.PutUint32(header[storeSize:], 0x8000)
	le.PutUint16(header[storeState:], storeReady)
	b = append(b, header...)
	for _, e := range entries {
		h := make([]byte, variableHeaderSize)
		le.PutUint16(h, variableStart)
		h[2] = e.state
		name := encodeName(e.name)
		le.PutUint32(h[variableNameSize:], uint32(len(name)))
		le.PutUint32(h[variableDataSize:], uint32(len(e.value)))
		copy(h[variableVendor:], e.vendor[:])
		b = append(append(append(b, h...), name...), e.value...)
		for (len(b)-100)%variableAlign != 0 {
			b = append(b, 0xFF)
		}
	}
	return append(b, bytes.Repeat([]byte{0xFF}, 256)...)
}

func TestSecureBoot(t *testing.T) {
	key := entry{variableAdded, guidGlobal, "PK", "key"}
	told := func(state byte, v string) entry { return entry{state, guidSecureBoot, "SecureBootEnable", v} }
	cut := newStore(key)
	binary.LittleEndian.PutUint32(cut[100+variableDataSize:], 1<<31)
	unready := newStore(key)
	unready[72+storeState] = 0xFF
	for name, c := range map[string]struct {
		store []byte
		want  bool
	}{
		"nothing":               {nil, false},
		"no key":                {newStore(told(variableAdded, "\x01")), false},
		"key":                   {newStore(key), true},
		"on":                    {newStore(entry{variableAdded, guidGlobal, "Lang", "eng"}, key, told(variableAdded, "\x01")), true},
		"off":                   {newStore(key, told(variableAdded, "\x00")), false},
		"switched off":          {newStore(key, told(0x3C, "\x01"), told(variableAdded, "\x00")), false},
		"being switched":        {newStore(key, told(variableReplaced, "\x01"), told(variableAdded, "\x00")), false},
		"not switched yet":      {newStore(key, told(variableReplaced, "\x01"), told(0x7F, "\x00")), true},
		"deleted key":           {newStore(entry{0x3D, guidGlobal, "PK", "key"}), false},
		"empty key":             {newStore(entry{variableAdded, guidGlobal, "PK", ""}), false},
		"somebody else's":       {newStore(entry{variableAdded, guidSecureBoot, "PK", "key"}), false},
		"longer than the store": {cut, false},
		"half formatted":        {unready, false},
		"ends in a header":      {newStore(key)[:100+variableHeaderSize-1], false},
	} {
		if got := SecureBoot(c.store); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestSecureBootTemplates looks at what OVMF's package brings.
func TestSecureBootTemplates(t *testing.T) {
	for file, want := range map[string]bool{"OVMF_VARS_4M.fd": false, "OVMF_VARS_4M.ms.fd": true, "OVMF_VARS_4M.snakeoil.fd": true} {
		b, err := os.ReadFile(folderOVMF + "/" + file)
		if err != nil {
			t.Skip(err)
		}
		if got := SecureBoot(b); got != want {
			t.Errorf("%s: %v", file, got)
		}
	}
}

// FuzzSecureBoot reads stores that a guest has written.
func FuzzSecureBoot(f *testing.F) {
	f.Add(newStore(entry{variableAdded, guidGlobal, "PK", "key"}, entry{variableAdded, guidSecureBoot, "SecureBootEnable", "\x01"}))
	f.Fuzz(func(_ *testing.T, store []byte) { SecureBoot(store) })
}
