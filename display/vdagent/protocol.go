package vdagent

import "encoding/binary"

// PortName is how the guest's agent finds its port.
const PortName = "com.redhat.spice.0"

// Ports within the protocol (VDP_*): messages of the viewer's side, and of the server's, of which there are none here.
const (
	clientPort = 1
	serverPort = 2
)

// Types of messages (VD_AGENT_*).
const (
	typeMonitorsConfig = 2
	typeClipboard      = 4
	typeAnnounce       = 6
	typeGrab           = 7
	typeRequest        = 8
	typeRelease        = 9
	typeMaxClipboard   = 14
)

// Capabilities, as bits of their first word (VD_AGENT_CAP_*).
const (
	capMonitorsConfig = 1 << 1
	capByDemand       = 1 << 5
	capSelection      = 1 << 6
	capLinesCRLF      = 1 << 9
	capMaxClipboard   = 1 << 10
)

// Forms of what is on a clipboard (VD_AGENT_CLIPBOARD_*).
const (
	formNone = 0
	formText = 1
)

const (
	chunkHeader   = 8
	messageHeader = 20
	// maxChunk is the longest chunk that an agent takes (VD_AGENT_MAX_DATA_SIZE).
	maxChunk = 2048
	protocol = 1
	// selections are CLIPBOARD, which is number 0, PRIMARY and SECONDARY.
	selections    = 3
	selectionSize = 4
)

// message makes a message whose data is words of 32 bits, and text after them, in chunks.
func message(kind uint32, text string, words ...uint32) []byte {
	le := binary.LittleEndian
	size := 4*len(words) + len(text)
	whole := make([]byte, 0, messageHeader+size)
	whole = le.AppendUint32(whole, protocol)
	whole = le.AppendUint32(whole, kind)
	whole = le.AppendUint64(whole, 0)
	whole = le.AppendUint32(whole, uint32(size))
	for _, w := range words {
		whole = le.AppendUint32(whole, w)
	}
	whole = append(whole, text...)

	out := make([]byte, 0, len(whole)+(len(whole)/maxChunk+1)*chunkHeader)
	for len(whole) > 0 {
		n := min(len(whole), maxChunk)
		out = le.AppendUint32(out, clientPort)
		out = le.AppendUint32(out, uint32(n))
		out = append(out, whole[:n]...)
		whole = whole[n:]
	}
	return out
}
