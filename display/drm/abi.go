package drm

// The kernel's structures (include/uapi/drm/drm.h and drm_mode.h). Fields that nobody here needs are there for their size.

// modeInfo is struct drm_mode_modeinfo.
type modeInfo struct {
	Clock                                       uint32 // kHz
	Width, HSyncStart, HSyncEnd, HTotal, HSkew  uint16
	Height, VSyncStart, VSyncEnd, VTotal, VScan uint16
	Refresh, Flags, Type                        uint32
	Name                                        [32]byte
}

const (
	modePreferred = 1 << 3 // of Type
	modeInterlace = 1 << 4 // of Flags
)

type (
	version struct {
		Major, Minor, Patch, _             int32
		NameLen, Name, DateLen, Date, N, D uint64
	}
	capability struct{ Capability, Value uint64 }
	resources  struct {
		FBs, CRTCs, Connectors, Encoders                     uint64
		CountFBs, CountCRTCs, CountConnectors, CountEncoders uint32
		MinWidth, MaxWidth, MinHeight, MaxHeight             uint32
	}
	connectorInfo struct {
		Encoders, Modes, Props, PropValues    uint64
		CountModes, CountProps, CountEncoders uint32
		Encoder, ID, Kind, KindID             uint32
		Connection, WidthMM, HeightMM, Sub, _ uint32
	}
	encoderInfo  struct{ ID, Kind, CRTC, PossibleCRTCs, PossibleClones uint32 }
	propertyInfo struct {
		Values, Enums           uint64
		ID, Flags               uint32
		Name                    [32]byte
		CountValues, CountEnums uint32
	}
	blobInfo struct {
		ID, Length uint32
		Data       uint64
	}
	crtcInfo struct {
		Connectors         uint64
		Count, ID, FB      uint32
		X, Y, Gamma, Valid uint32
		Mode               modeInfo
	}
	dumbInfo struct {
		Height, Width, BPP, Flags, Handle, Pitch uint32
		Size                                     uint64
	}
	mapInfo struct {
		Handle, _ uint32
		Offset    uint64
	}
	fbInfo   struct{ ID, Width, Height, Pitch, BPP, Depth, Handle uint32 }
	flipInfo struct {
		CRTC, FB, Flags, _ uint32
		UserData           uint64
	}
	clip      struct{ X1, Y1, X2, Y2 uint16 }
	dirtyInfo struct {
		FB, Flags, Color, Count uint32
		Clips                   uint64
	}
	cursorInfo struct {
		Flags, CRTC   uint32
		X, Y          int32
		Width, Height uint32
		Handle        uint32
		HotX, HotY    int32
	}
)

// Numbers of requests.
const (
	nrVersion      = 0x00
	nrGetCap       = 0x0c
	nrSetMaster    = 0x1e
	nrDropMaster   = 0x1f
	nrGetResources = 0xa0
	nrGetCRTC      = 0xa1
	nrSetCRTC      = 0xa2
	nrGetEncoder   = 0xa6
	nrGetConnector = 0xa7
	nrGetProperty  = 0xaa
	nrGetBlob      = 0xac
	nrAddFB        = 0xae
	nrRemoveFB     = 0xaf
	nrPageFlip     = 0xb0
	nrDirtyFB      = 0xb1
	nrCreateDumb   = 0xb2
	nrMapDumb      = 0xb3
	nrDestroyDumb  = 0xb4
	nrCursor2      = 0xbb

	capDumb         = 1
	capCursorWidth  = 8
	capCursorHeight = 9

	flipEvent = 1 // flag of a flip: an event tells when it is done

	cursorShape = 1 // flags of a cursor
	cursorMove  = 2

	eventFlip = 2 // type of an event
	eventHead = 8 // of its type and length

	connected = 1
)

// Bounds of what the kernel may tell: more of it is a driver's fault, and left.
const (
	maxObjects = 256 // CRTCs, connectors, encoders, properties
	maxModes   = 1024
	maxBlob    = 64 << 10
	maxWidth   = 16384 // pixels of a mode, in either direction
	maxName    = 64
)
