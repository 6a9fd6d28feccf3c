package linux

import (
	"encoding/binary"

	"github.com/sharevm/vmm/boot/payload"
)

// Offsets in the image, and alike in boot_params.
const (
	offSetupSects    = 0x1F1
	offSysSize       = 0x1F4
	offVidMode       = 0x1FA
	offBootFlag      = 0x1FE
	offJumpLength    = 0x201
	offMagic         = 0x202
	offVersion       = 0x206
	offTypeOfLoader  = 0x210
	offLoadFlags     = 0x211
	offRamdiskImage  = 0x218
	offRamdiskSize   = 0x21C
	offCmdlinePtr    = 0x228
	offInitrdAddrMax = 0x22C
	offAlignment     = 0x230
	offRelocatable   = 0x234
	offXLoadFlags    = 0x236
	offCmdlineSize   = 0x238
	offPayloadOffset = 0x248
	offPayloadLength = 0x24C
	offSetupData     = 0x250
	offPrefAddress   = 0x258
	offInitSize      = 0x260

	headerEndMin = 0x268 // header of version 2.12
	headerEndMax = 0x290 // the next field of boot_params
)

const (
	bootFlag         = 0xAA55
	magic            = 0x53726448 // "HdrS"
	oldestVersion    = 0x020C
	loadedHigh       = 1 << 0 // loadflags
	xlfKernel64      = 1 << 0 // xloadflags
	sectorSize       = 512
	defaultSects     = 4
	entry64          = 0x200 // from the load address
	smallestAlign    = 4096
	largestAlign     = 1 << 30
	unknownLoader    = 0xFF
	videoModeNormal  = 0xFFFF
	magicEnd         = offMagic + 4
	offProtectedSize = 16 // unit of syssize
)

// Header is what the setup header of a bzImage says, checked.
type Header struct {
	Version       uint16
	KernelOffset  int64  // where the protected-mode kernel begins in the file
	KernelSize    uint64 // its size in the file
	Alignment     uint64 // of a relocated kernel
	Relocatable   bool
	CmdlineMax    uint64 // bytes, without the final zero
	InitrdMax     uint64 // last address that the initrd may use
	PrefAddress   uint64 // where the kernel wants to run
	InitSize      uint64 // memory it needs there before it reads the memory map
	PayloadOffset uint32 // compressed kernel, from KernelOffset
	PayloadLength uint32

	raw []byte // bytes of the image from offset 0 to the end of the header
}

// IsBzImage says whether head, the first bytes of a file, bears the magic of Linux's boot protocol.
func IsBzImage(head []byte) bool {
	return len(head) >= magicEnd && binary.LittleEndian.Uint32(head[offMagic:]) == magic
}

// ReadHeader reads and checks the setup header of f.
func ReadHeader(f payload.File) (*Header, error) {
	raw := make([]byte, headerEndMax)
	if f.Size < headerEndMax {
		return nil, f.Fail(payload.ErrTruncated, "%d bytes hold no Linux setup header", f.Size)
	}
	if err := f.ReadAt(raw, 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if !IsBzImage(raw) || le.Uint16(raw[offBootFlag:]) != bootFlag {
		return nil, f.Fail(payload.ErrNotKernel, "it lacks the signature of a Linux bzImage")
	}
	h := &Header{
		Version:       le.Uint16(raw[offVersion:]),
		Alignment:     uint64(le.Uint32(raw[offAlignment:])),
		Relocatable:   raw[offRelocatable] != 0,
		CmdlineMax:    uint64(le.Uint32(raw[offCmdlineSize:])),
		InitrdMax:     uint64(le.Uint32(raw[offInitrdAddrMax:])),
		PrefAddress:   le.Uint64(raw[offPrefAddress:]),
		InitSize:      uint64(le.Uint32(raw[offInitSize:])),
		PayloadOffset: le.Uint32(raw[offPayloadOffset:]),
		PayloadLength: le.Uint32(raw[offPayloadLength:]),
	}
	if h.Version < oldestVersion {
		return nil, f.Fail(payload.ErrUnsupported, "boot protocol %d.%02d, at least 2.12 (Linux 3.8) is needed", h.Version>>8, h.Version&0xFF)
	}
	if raw[offLoadFlags]&loadedHigh == 0 || le.Uint16(raw[offXLoadFlags:])&xlfKernel64 == 0 {
		return nil, f.Fail(payload.ErrUnsupported, "the kernel has no 64-bit entry point (is it a 32-bit kernel?)")
	}
	end := offMagic + int(raw[offJumpLength])
	if end < headerEndMin {
		return nil, f.Fail(payload.ErrMalformed, "the setup header ends at %#x, before its fields do", end)
	}
	h.raw = raw[:min(end, headerEndMax)]
	if a := h.Alignment; h.Relocatable && (a&(a-1) != 0 || a < smallestAlign || a > largestAlign) {
		return nil, f.Fail(payload.ErrMalformed, "kernel alignment %#x", a)
	}

	sects := int64(raw[offSetupSects])
	if sects == 0 {
		sects = defaultSects
	}
	h.KernelOffset = (sects + 1) * sectorSize
	if h.KernelOffset >= f.Size {
		return nil, f.Fail(payload.ErrTruncated, "the file ends at %d, before the kernel at %d", f.Size, h.KernelOffset)
	}
	// syssize rounds up to its unit, hence the file may end a little earlier; a signature may follow, which is not the kernel's.
	declared := uint64(le.Uint32(raw[offSysSize:])) * offProtectedSize
	rest := uint64(f.Size - h.KernelOffset)
	if declared <= entry64 {
		return nil, f.Fail(payload.ErrMalformed, "the kernel proper has %d bytes", declared)
	}
	if declared >= rest+offProtectedSize {
		return nil, f.Fail(payload.ErrTruncated, "the kernel proper has %d bytes, the file only %d of them", declared, rest)
	}
	h.KernelSize = min(declared, rest)
	return h, nil
}
