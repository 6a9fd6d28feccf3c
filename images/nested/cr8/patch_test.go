package cr8

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sharevm/vmm/internal/elftest"
)

const (
	call   = "\xe8\x00\x00\x00\x00"
	endbr  = "\xf3\x0f\x1e\xfa"
	before = "\x90\x90\x90"
	rest   = "\x41\x54\x41\x89\xf4\xc3"
)

// rela is a relocation entry at an offset.
func rela(at uint64) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, at), make([]byte, 16)...)
}

// module makes a module with a function, and relocations of its section at the given offsets.
func module(name, code string, relocations ...uint64) []byte {
	var relas []byte
	for _, at := range relocations {
		relas = append(relas, rela(at)...)
	}
	return elftest.Build([]elftest.Section{
		{Name: ".text", Data: []byte(before + code)},
		{Name: ".rela.text", Type: elf.SHT_RELA, Info: 1, Data: relas},
	}, elftest.Function{Name: name, Section: 1, Value: uint64(len(before)), Size: uint64(len(code))})
}

func TestPatchTurnsTheFunctionIntoAReturn(t *testing.T) {
	for name, prologue := range map[string]string{"plain": call, "with ENDBR64": endbr + call} {
		tracerAt := uint64(len(before) + len(prologue) - 4)
		in := module(function, prologue+rest, tracerAt, tracerAt+40)
		signature := "signed by nobody"
		signed := append(bytes.Clone(in), signature...)
		signed = append(signed, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(signature)))
		signed = append(signed, "~Module signature appended~\n"...)
		original := bytes.Clone(signed)
		got, err := Patch(signed)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		at := bytes.Index(in, []byte(prologue+rest)) + len(prologue)
		want := bytes.Clone(in)
		want[at] = 0xc3
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the module is not the unsigned one with a return at %d", name, at)
		}
		if !bytes.Equal(signed, original) {
			t.Errorf("%s: the input was changed", name)
		}
	}
}

func TestPatchRefusesWhatItDoesNotKnow(t *testing.T) {
	for name, in := range map[string][]byte{
		"no ELF file":            []byte("hello"),
		"no such function":       module("svm_other", call+rest),
		"not traced":             module(function, rest),
		"nothing after the call": module(function, call),
		"relocation in the way":  module(function, call+rest, uint64(len(before)+len(call)-2)),
		"outside its section": elftest.Build([]elftest.Section{{Name: ".text", Data: []byte(call + rest)}},
			elftest.Function{Name: function, Section: 1, Value: 4, Size: 100}),
		"no such section": elftest.Build(nil, elftest.Function{Name: function, Section: 77}),
	} {
		if _, err := Patch(in); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzPatch: no bytes make it panic, and what it accepts differs in one byte at most.
func FuzzPatch(f *testing.F) {
	f.Add(module(function, call+rest))
	f.Add(append(module(function, endbr+call+rest), "\x00\x00\x00\x10~Module signature appended~\n"...))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Patch(in)
		if err != nil {
			return
		}
		changed := 0
		for i := range out {
			if out[i] != in[i] {
				changed++
			}
		}
		if len(out) > len(in) || changed > 1 {
			t.Errorf("%d bytes changed, %d of %d left", changed, len(out), len(in))
		}
	})
}
