package web

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Opcodes (RFC 6455, section 5.2).
const (
	opContinuation = 0
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

const (
	maxControl = 125 // bytes of a control frame
	// maxFrame bounds the frames of a viewer, whose messages are small but for its clipboard.
	maxFrame = 4 << 20
)

var errFrame = errors.New("not a frame of a WebSocket client")

// acceptKey proves that the server speaks WebSocket (section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// upgrade answers the request for a WebSocket, or says why it is none.
func upgrade(w io.Writer, r *request) error {
	key, err := base64.StdEncoding.DecodeString(r.header.Get("Sec-Websocket-Key"))
	if err != nil || len(key) != 16 || r.header.Get("Sec-Websocket-Version") != "13" || !r.has("Upgrade", "websocket") || !r.has("Connection", "upgrade") {
		return errRequest
	}
	protocol := ""
	if r.has("Sec-Websocket-Protocol", "binary") {
		protocol = "Sec-WebSocket-Protocol: binary\r\n"
	}
	_, err = fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		acceptKey(r.header.Get("Sec-Websocket-Key")), protocol)
	return err
}

// socket is the server's end of a WebSocket whose binary messages are a stream of bytes.
type socket struct {
	net.Conn
	in *bufio.Reader

	left  uint64 // of the data frame that is being read
	mask  [4]byte
	at    int  // in mask
	begun bool // a message that goes on in other frames

	write sync.Mutex // held while a frame is written
}

// Read reads from the binary messages. It answers pings on the way, and ends with io.EOF when the client closes.
func (s *socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for s.left == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n, err := s.in.Read(p[:min(uint64(len(p)), s.left)])
	s.unmask(p[:n])
	s.left -= uint64(n)
	return n, err
}

func (s *socket) unmask(p []byte) {
	for i := range p {
		p[i] ^= s.mask[s.at&3]
		s.at++
	}
}

// next reads the head of the next frame, and all of it if it is a control frame.
func (s *socket) next() error {
	var head [8]byte
	if _, err := io.ReadFull(s.in, head[:2]); err != nil {
		return err
	}
	final, op, masked, length := head[0]&0x80 != 0, head[0]&0xf, head[1]&0x80 != 0, uint64(head[1]&0x7f)
	control := op >= opClose
	if head[0]&0x70 != 0 || !masked || control && (!final || length > maxControl) {
		return errFrame
	}
	switch length {
	case 126:
		if _, err := io.ReadFull(s.in, head[:2]); err != nil {
			return err
		}
		length = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		if _, err := io.ReadFull(s.in, head[:8]); err != nil {
			return err
		}
		length = binary.BigEndian.Uint64(head[:])
	}
	if length > maxFrame {
		return fmt.Errorf("%w: %d bytes long", errFrame, length)
	}
	if _, err := io.ReadFull(s.in, s.mask[:]); err != nil {
		return err
	}
	s.at = 0
	switch {
	case control:
		return s.control(op, int(length))
	case op == opBinary && !s.begun, op == opContinuation && s.begun:
		s.left, s.begun = length, !final
		return nil
	}
	return errFrame
}

// control acts on a control frame.
func (s *socket) control(op byte, length int) error {
	var buf [maxControl]byte
	p := buf[:length]
	if _, err := io.ReadFull(s.in, p); err != nil {
		return err
	}
	s.unmask(p)
	switch op {
	case opPing:
		return s.frame(opPong, p)
	case opPong:
		return nil
	case opClose:
		if err := s.frame(opClose, p[:min(2, len(p))]); err != nil {
			return err
		}
		return io.EOF
	}
	return errFrame
}

// Write sends p as one binary message.
func (s *socket) Write(p []byte) (int, error) {
	if err := s.frame(opBinary, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frame writes a frame.
func (s *socket) frame(op byte, p []byte) error {
	var buf [10]byte
	head := append(buf[:0], 0x80|op)
	switch n := len(p); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := s.Conn.Write(head); err != nil {
		return err
	}
	_, err := s.Conn.Write(p)
	return err
}
