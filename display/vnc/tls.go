package vnc

import (
	"bufio"
	"crypto/subtle"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
)

// VeNCrypt (rfbproto, section VeNCrypt) puts TLS under the protocol. Of its subtypes those with a certificate are offered: the others exchange keys with nobody in
// particular (anonymous Diffie-Hellman), which keeps no attacker out of the middle and which crypto/tls has not.
const (
	securityVeNCrypt = 19

	subtypeX509None  = 260
	subtypeX509VNC   = 261
	subtypeX509Plain = 262
)

// maxPlain bounds a name and a password, in bytes.
const maxPlain = 1024

var (
	errNoTLS    = errors.New("this viewer cannot encrypt: TLS needs version 3.7 of the protocol and VeNCrypt")
	errVeNCrypt = errors.New("VeNCrypt of another version than 0.2")
)

// subtypes are those that a viewer may choose from.
func (c *client) subtypes() []uint32 {
	if c.password == "" {
		return []uint32{subtypeX509None}
	}
	return []uint32{subtypeX509VNC, subtypeX509Plain}
}

// encrypt agrees on a subtype of VeNCrypt and begins TLS.
func (c *client) encrypt() (subtype uint32, err error) {
	if _, err := c.conn.Write([]byte{0, 2}); err != nil {
		return 0, err
	}
	var version [2]byte
	if err := c.take(version[:]); err != nil {
		return 0, err
	}
	if version != [2]byte{0, 2} {
		_, err := c.conn.Write([]byte{1})
		return 0, errors.Join(errVeNCrypt, err)
	}
	list := c.subtypes()
	b := []byte{0, byte(len(list))}
	for _, s := range list {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	if _, err := c.conn.Write(b); err != nil {
		return 0, err
	}
	var chosen [4]byte
	if err := c.take(chosen[:]); err != nil {
		return 0, err
	}
	subtype = binary.BigEndian.Uint32(chosen[:])
	if !slices.Contains(list, subtype) {
		_, err := c.conn.Write([]byte{0})
		return 0, errors.Join(fmt.Errorf("subtype %d of VeNCrypt was not offered", subtype), err)
	}
	if _, err := c.conn.Write([]byte{1}); err != nil {
		return 0, err
	}
	// What the viewer has sent already belongs to TLS: nothing of it counts unencrypted.
	conn := tls.Server(&readAhead{c.conn, c.in}, &tls.Config{Certificates: []tls.Certificate{*c.cert}, MinVersion: tls.VersionTLS12})
	if err := conn.Handshake(); err != nil {
		return 0, fmt.Errorf("TLS: %w", err)
	}
	c.conn, c.in, c.out = conn, bufio.NewReaderSize(conn, inSize), bufio.NewWriterSize(conn, outSize)
	return subtype, nil
}

// readAhead is a connection of which some has been read.
type readAhead struct {
	net.Conn
	in *bufio.Reader
}

func (r *readAhead) Read(p []byte) (int, error) { return r.in.Read(p) }

// plain takes a name, which does not matter, and a password, all of which does.
func (c *client) plain() error {
	var head [8]byte
	if err := c.take(head[:]); err != nil {
		return err
	}
	name, password := binary.BigEndian.Uint32(head[0:]), binary.BigEndian.Uint32(head[4:])
	if name > maxPlain || password > maxPlain {
		return fmt.Errorf("a name of %d bytes, a password of %d", name, password)
	}
	b := make([]byte, name+password)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(b[name:], []byte(c.password)) != 1 {
		return errPassword
	}
	return nil
}
