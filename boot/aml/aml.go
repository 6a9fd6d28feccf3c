package aml

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// Term is an encoded construct: an object, a statement or an expression.
type Term []byte

// Opcodes (ACPI 6.5, section 20.3).
const (
	opZero         = 0x00
	opOne          = 0x01
	opName         = 0x08
	opByte         = 0x0A
	opWord         = 0x0B
	opDWord        = 0x0C
	opString       = 0x0D
	opQWord        = 0x0E
	opScope        = 0x10
	opBuffer       = 0x11
	opPackage      = 0x12
	opMethod       = 0x14
	opDualName     = 0x2E
	opMultiName    = 0x2F
	opExt          = 0x5B
	opLocal0       = 0x60
	opArg0         = 0x68
	opStore        = 0x70
	opAnd          = 0x7B
	opOr           = 0x7D
	opNotify       = 0x86
	opCreateDWord  = 0x8A
	opNot          = 0x92
	opEqual        = 0x93
	opIf           = 0xA0
	opElse         = 0xA1
	opReturn       = 0xA4
	opOnes         = 0xFF
	extOpRegion    = 0x80
	extOpField     = 0x81
	extOpDevice    = 0x82
	maxPackage     = 255
	maxMethodArg   = 7
	flagSerialized = 1 << 3
)

// maxLength is the largest length that a PkgLength can hold.
const maxLength = 1<<28 - 1

// sized encodes op, the package length and the body: PkgLength counts itself and the body (section 20.2.4).
func sized(op []byte, body ...[]byte) Term {
	n := 0
	for _, b := range body {
		n += len(b)
	}
	t := append(Term(op), pkgLength(n)...)
	for _, b := range body {
		t = append(t, b...)
	}
	return t
}

// pkgLength encodes the length of n bytes and of itself.
func pkgLength(n int) []byte {
	switch {
	case n+1 <= 0x3F:
		return []byte{byte(n + 1)}
	case n+2 < 1<<12:
		n += 2
		return []byte{1<<6 | byte(n&0xF), byte(n >> 4)}
	case n+3 < 1<<20:
		n += 3
		return []byte{2<<6 | byte(n&0xF), byte(n >> 4), byte(n >> 12)}
	case n+4 <= maxLength:
		n += 4
		return []byte{3<<6 | byte(n&0xF), byte(n >> 4), byte(n >> 12), byte(n >> 20)}
	}
	panic(fmt.Sprintf("aml: package of %d bytes", n))
}

// fieldLength encodes the bits of a field, which has the form of a PkgLength that does not count itself.
func fieldLength(n int) []byte {
	if n < 1<<6 {
		return []byte{byte(n)}
	}
	return []byte{1<<6 | byte(n&0xF), byte(n >> 4)}
}

// Path encodes a NameString (section 20.2.2): "\" for the root, "^" for parents, segments of up to four characters with "." between.
func Path(name string) Term {
	rest := strings.TrimLeft(name, `\^`)
	t := Term(name[:len(name)-len(rest)])
	if strings.Count(string(t), `\`) > 1 || len(t) > 1 && strings.Contains(string(t), `\`) {
		panic("aml: bad name " + name)
	}
	if rest == "" {
		return append(t, 0)
	}
	segments := strings.Split(rest, ".")
	switch n := len(segments); {
	case n == 2:
		t = append(t, opDualName)
	case n > 255:
		panic("aml: bad name " + name)
	case n > 2:
		t = append(t, opMultiName, byte(n))
	}
	for _, s := range segments {
		t = append(t, segment(s)...)
	}
	return t
}

// segment encodes one NameSeg, filled up with underscores.
func segment(s string) []byte {
	ok := len(s) >= 1 && len(s) <= 4
	for i, c := range []byte(s) {
		ok = ok && (c == '_' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9')
	}
	if !ok {
		panic("aml: bad name segment " + s)
	}
	return []byte((s + "___")[:4])
}

// Integer encodes a number in its shortest form. All ones needs the 64-bit integers of a table of revision 2 or later.
func Integer(v uint64) Term {
	le := binary.LittleEndian
	switch {
	case v == 0:
		return Term{opZero}
	case v == 1:
		return Term{opOne}
	case v == 1<<64-1:
		return Term{opOnes}
	case v < 1<<8:
		return Term{opByte, byte(v)}
	case v < 1<<16:
		return le.AppendUint16(Term{opWord}, uint16(v))
	case v < 1<<32:
		return le.AppendUint32(Term{opDWord}, uint32(v))
	}
	return le.AppendUint64(Term{opQWord}, v)
}

// String encodes an ASCII string.
func String(s string) Term {
	for _, c := range []byte(s) {
		if c == 0 || c > 0x7F {
			panic(fmt.Sprintf("aml: bad string %q", s))
		}
	}
	return append(append(Term{opString}, s...), 0)
}

// EISAID encodes a Plug and Play identifier such as "PNP0A08" (section 19.3.4).
func EISAID(id string) Term {
	var vendor, product uint32
	if n, err := fmt.Sscanf(id[3:], "%04X", &product); len(id) != 7 || n != 1 || err != nil {
		panic("aml: bad EISA id " + id)
	}
	for _, c := range []byte(id[:3]) {
		if c < 'A' || c > 'Z' {
			panic("aml: bad EISA id " + id)
		}
		vendor = vendor<<5 | uint32(c-'@')
	}
	return Integer(uint64(bits.ReverseBytes32(vendor<<16 | product)))
}

// UUID encodes "aabbccdd-eeff-gghh-iijj-kkllmmnnoopp" as the 16-byte buffer of ToUUID (section 19.6.142).
func UUID(id string) Term {
	var b [16]byte
	n, err := fmt.Sscanf(id, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		&b[3], &b[2], &b[1], &b[0], &b[5], &b[4], &b[7], &b[6], &b[8], &b[9], &b[10], &b[11], &b[12], &b[13], &b[14], &b[15])
	if n != 16 || err != nil || len(id) != 36 {
		panic("aml: bad UUID " + id)
	}
	return Buffer(b[:])
}

// Buffer encodes bytes.
func Buffer(p []byte) Term { return sized([]byte{opBuffer}, Integer(uint64(len(p))), p) }

// Package encodes a list of at most 255 objects.
func Package(elements ...Term) Term {
	if len(elements) > maxPackage {
		panic(fmt.Sprintf("aml: package of %d elements", len(elements)))
	}
	return sized([]byte{opPackage}, []byte{byte(len(elements))}, join(elements))
}

// Name gives an object a name.
func Name(name string, object Term) Term { return cat(Term{opName}, Path(name), object) }

// Scope opens the scope of a name that exists.
func Scope(name string, body ...Term) Term { return sized([]byte{opScope}, Path(name), join(body)) }

// Device declares a device.
func Device(name string, body ...Term) Term {
	return sized([]byte{opExt, extOpDevice}, Path(name), join(body))
}

// Method declares a control method of args arguments. A serialized one is not entered twice at a time: one that declares
// names must be.
func Method(name string, args int, serialized bool, body ...Term) Term {
	if args < 0 || args > maxMethodArg {
		panic(fmt.Sprintf("aml: method of %d arguments", args))
	}
	flags := byte(args)
	if serialized {
		flags |= flagSerialized
	}
	return sized([]byte{opMethod}, Path(name), []byte{flags}, join(body))
}

// Arg is the method's argument n, 0 to 6.
func Arg(n int) Term { return Term{opArg0 + byte(n)} }

// Local is the method's variable n, 0 to 7.
func Local(n int) Term { return Term{opLocal0 + byte(n)} }

// Nothing is the target of a result that only counts as a value.
func Nothing() Term { return Term{opZero} }

// Store assigns.
func Store(value, target Term) Term { return cat(Term{opStore}, value, target) }

// And stores the bitwise conjunction of a and b to target.
func And(a, b, target Term) Term { return cat(Term{opAnd}, a, b, target) }

// Or stores the bitwise disjunction of a and b to target.
func Or(a, b, target Term) Term { return cat(Term{opOr}, a, b, target) }

// Equal compares.
func Equal(a, b Term) Term { return cat(Term{opEqual}, a, b) }

// Not negates a truth value.
func Not(a Term) Term { return cat(Term{opNot}, a) }

// If runs body where condition is not zero.
func If(condition Term, body ...Term) Term { return sized([]byte{opIf}, condition, join(body)) }

// Else follows an If.
func Else(body ...Term) Term { return sized([]byte{opElse}, join(body)) }

// Return leaves the method with a value.
func Return(value Term) Term { return cat(Term{opReturn}, value) }

// Notify tells the operating system that something has happened to a device.
func Notify(device Term, value uint64) Term { return cat(Term{opNotify}, device, Integer(value)) }

// CreateDWordField names the 32 bits at a byte offset of a buffer.
func CreateDWordField(buffer Term, offset uint64, name string) Term {
	return cat(Term{opCreateDWord}, buffer, Integer(offset), Path(name))
}

// PCIConfig is the address space of an OperationRegion in the configuration space of the device around it.
const PCIConfig = 2

// OperationRegion names size bytes at an offset of an address space.
func OperationRegion(name string, space byte, offset, size uint64) Term {
	return cat(Term{opExt, extOpRegion}, Path(name), Term{space}, Integer(offset), Integer(size))
}

// Unit is a field of a region; one without a name is a gap.
type Unit struct {
	Name string
	Bits int
}

// ByteField names parts of a region that is accessed byte by byte.
func ByteField(region string, units ...Unit) Term {
	const byteAccess = 1 // no lock, other bits are preserved
	body := Term{byteAccess}
	for _, u := range units {
		if u.Name == "" {
			body = append(body, 0)
		} else {
			body = append(body, segment(u.Name)...)
		}
		body = append(body, fieldLength(u.Bits)...)
	}
	return sized([]byte{opExt, extOpField}, Path(region), body)
}

func cat(terms ...Term) Term { return join(terms) }

func join(terms []Term) Term {
	var t Term
	for _, e := range terms {
		t = append(t, e...)
	}
	return t
}
