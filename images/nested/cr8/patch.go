package cr8

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
)

const function = "svm_update_cr8_intercept"

// ErrUnknown is what Patch wraps when the module does not look as expected.
var ErrUnknown = errors.New("can't apply the CR8 cure to this kvm-amd module")

// Patch returns kvm-amd.ko with svm_update_cr8_intercept returning at once, and without the signature, which no longer fits: the kernel
// refuses a wrong signature and accepts a missing one.
func Patch(module []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnknown, err)
	}
	defer f.Close()
	off, err := entry(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrUnknown, err)
	}
	if off >= uint64(len(module)) {
		return nil, fmt.Errorf("%w: %s lies outside the file", ErrUnknown, function)
	}
	const ret = 0xc3
	patched := bytes.Clone(unsigned(module))
	if off >= uint64(len(patched)) {
		return nil, fmt.Errorf("%w: %s lies outside the file", ErrUnknown, function)
	}
	patched[off] = ret
	return patched, nil
}

// entry returns the offset in the file of the function's first instruction after what the tracer owns: an ENDBR64, where the kernel has
// indirect branch tracking, and the call of __fentry__, which the tracer rewrites when the module gets loaded.
func entry(f *elf.File) (uint64, error) {
	symbols, err := f.Symbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name != function || elf.ST_TYPE(s.Info) != elf.STT_FUNC {
			continue
		}
		if int(s.Section) >= len(f.Sections) {
			return 0, fmt.Errorf("%s has no section", function)
		}
		section := f.Sections[s.Section]
		code, err := section.Data()
		if err != nil {
			return 0, err
		}
		if s.Value > uint64(len(code)) || s.Size > uint64(len(code))-s.Value {
			return 0, fmt.Errorf("%s leaves its section", function)
		}
		skip := prologue(code[s.Value : s.Value+s.Size])
		if skip < 0 {
			return 0, fmt.Errorf("%s starts with % x, not with a call of the tracer", function, code[s.Value:min(s.Value+9, uint64(len(code)))])
		}
		if relocated(f, s.Section, s.Value+uint64(skip)) {
			return 0, fmt.Errorf("%s has a relocation where it would be patched", function)
		}
		return section.Offset + s.Value + uint64(skip), nil
	}
	return 0, fmt.Errorf("it has no function %s", function)
}

// prologue returns the length of what the tracer owns at the start of a function, or -1 when there is none or nothing follows.
func prologue(code []byte) int {
	n := 0
	if bytes.HasPrefix(code, []byte{0xf3, 0x0f, 0x1e, 0xfa}) { // ENDBR64
		n = 4
	}
	const callLen = 5
	if len(code) <= n+callLen || !bytes.Equal(code[n:n+callLen], []byte{0xe8, 0, 0, 0, 0}) {
		return -1
	}
	return n + callLen
}

// relocated says whether loading would overwrite the byte at off of a section.
func relocated(f *elf.File, section elf.SectionIndex, off uint64) bool {
	const entrySize, widest = 24, 8
	for _, s := range f.Sections {
		if s.Type != elf.SHT_RELA || s.Info != uint32(section) {
			continue
		}
		rela, err := s.Data()
		if err != nil {
			return true
		}
		for ; len(rela) >= entrySize; rela = rela[entrySize:] {
			if at := binary.LittleEndian.Uint64(rela); at <= off && off-at < widest && !tracer(at, off) {
				return true
			}
		}
	}
	return false
}

// tracer says whether a relocation at at is the one of the tracer's call just before off: four bytes that end there.
func tracer(at, off uint64) bool { return at+4 == off }

// unsigned cuts off a module's signature: data, struct module_signature (12 bytes, the last four of which are the data's length in big
// endian), and a text that marks it (kernel/module_signature.c).
func unsigned(module []byte) []byte {
	const marker, structLen = "~Module signature appended~\n", 12
	body, ok := bytes.CutSuffix(module, []byte(marker))
	if !ok || len(body) < structLen {
		return module
	}
	n := uint64(binary.BigEndian.Uint32(body[len(body)-4:]))
	body = body[:len(body)-structLen]
	if n > uint64(len(body)) {
		return module
	}
	return body[:uint64(len(body))-n]
}
