package gpu

import (
	"encoding/binary"
	"image"
	"math"

	"github.com/sharevm/vmm/display"
)

// Features and events (sections 5.7.3 and 5.7.4).
const (
	featureEDID  = 1 << 1
	eventDisplay = 1 << 0 // the monitors have changed
)

// Commands and answers (section 5.7.6.7).
const (
	cmdGetDisplayInfo   = 0x0100
	cmdCreate2D         = 0x0101
	cmdUnref            = 0x0102
	cmdSetScanout       = 0x0103
	cmdFlush            = 0x0104
	cmdTransferToHost2D = 0x0105
	cmdAttachBacking    = 0x0106
	cmdDetachBacking    = 0x0107
	cmdGetEDID          = 0x010a
	cmdUpdateCursor     = 0x0300
	cmdMoveCursor       = 0x0301

	respOK            = 0x1100
	respDisplayInfo   = 0x1101
	respEDID          = 0x1104
	respUnspecified   = 0x1200
	respOutOfMemory   = 0x1201
	respBadScanout    = 0x1202
	respBadResource   = 0x1203
	respBadParameter  = 0x1205
	flagFence         = 1
	maxScanouts       = 16 // VIRTIO_GPU_MAX_SCANOUTS
	headerSize        = 24
	rectSize          = 16
	entrySize         = 16 // struct virtio_gpu_mem_entry
	largestCommand    = headerSize + 32
	displayInfoSize   = headerSize + maxScanouts*(rectSize+8)
	edidRoom          = 1024
	edidSize          = headerSize + 8 + edidRoom
	configEventsRead  = 0
	configEventsClear = 4
	configScanouts    = 8
	configSize        = 16
	controlQueue      = 0
	cursorQueue       = 1
	defaultWidth      = 1280
	defaultHeight     = 800
)

// formats are virtio's pixel formats, whose names give the bytes in order of addresses.
var formats = map[uint32]display.Format{
	1: display.XRGB8888, 2: display.XRGB8888, // B8G8R8A8, B8G8R8X8
	3: display.BGRX8888, 4: display.BGRX8888, // A8R8G8B8, X8R8G8B8
	67: display.XBGR8888, 134: display.XBGR8888, // R8G8B8A8, R8G8B8X8
	68: display.RGBX8888, 121: display.RGBX8888, // X8B8G8R8, A8B8G8R8
}

// Every pixel takes so many bytes.
const pixelSize = 4

// command is a request's fixed part, copied once.
type command struct {
	b [largestCommand]byte
	n int
}

func (c *command) u32(off int) uint32 { return binary.LittleEndian.Uint32(c.b[off:]) }
func (c *command) u64(off int) uint64 { return binary.LittleEndian.Uint64(c.b[off:]) }

// rect reads a rectangle, which is empty where its numbers go beyond what an image may have.
func (c *command) rect(off int) image.Rectangle {
	x, y, w, h := uint64(c.u32(off)), uint64(c.u32(off+4)), uint64(c.u32(off+8)), uint64(c.u32(off+12))
	if x+w > math.MaxInt32 || y+h > math.MaxInt32 {
		return image.Rectangle{}
	}
	return image.Rect(int(x), int(y), int(x+w), int(y+h))
}
