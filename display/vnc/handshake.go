package vnc

import (
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// Security types (RFC 6143, section 7.1.2).
const (
	securityNone = 1
	securityVNC  = 2
)

const (
	// handshakeTime is for a person who is asked for a password.
	handshakeTime = 2 * time.Minute
	// wrongPassword is how long a viewer waits that said a wrong one.
	wrongPassword = time.Second
)

var errPassword = errors.New("wrong password")

// handshake agrees on the protocol and checks the password.
func (c *client) handshake() error {
	c.conn.SetDeadline(time.Now().Add(handshakeTime))
	if _, err := io.WriteString(c.conn, "RFB 003.008\n"); err != nil {
		return err
	}
	var v [12]byte
	if _, err := io.ReadFull(c.in, v[:]); err != nil {
		return err
	}
	// What is not 3.7 or 3.8 is treated as 3.3 (section 7.1.1).
	minor := 3
	switch string(v[:]) {
	case "RFB 003.007\n":
		minor = 7
	case "RFB 003.008\n":
		minor = 8
	default:
		if string(v[:4]) != "RFB " || v[11] != '\n' {
			return fmt.Errorf("%q is not a version of RFB", v[:])
		}
		if string(v[:11]) > "RFB 003.008" {
			minor = 8
		}
	}
	if err := c.security(minor); err != nil {
		return err
	}
	_, err := c.in.ReadByte() // whether other viewers may stay: they do
	if err != nil {
		return err
	}
	return c.serverInit()
}

// security agrees on a security type and carries it out.
func (c *client) security(minor int) error {
	kind := byte(securityNone)
	switch {
	case c.cert != nil:
		kind = securityVeNCrypt
	case c.password != "":
		kind = securityVNC
	}
	if minor == 3 && kind == securityVeNCrypt {
		reason := errNoTLS.Error()
		_, err := c.conn.Write(append(binary.BigEndian.AppendUint32(make([]byte, 4), uint32(len(reason))), reason...))
		return errors.Join(errNoTLS, err)
	}
	if minor == 3 {
		if _, err := c.conn.Write([]byte{0, 0, 0, kind}); err != nil {
			return err
		}
	} else {
		if _, err := c.conn.Write([]byte{1, kind}); err != nil {
			return err
		}
		chosen, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		if chosen != kind {
			return fmt.Errorf("security type %d was not offered", chosen)
		}
	}
	if kind == securityNone && minor < 8 {
		return nil // there is no result to tell (section 7.2.1)
	}
	failed := c.prove(kind)
	if failed != nil && !errors.Is(failed, errPassword) {
		return failed
	}
	return errors.Join(failed, c.tellResult(minor, failed))
}

// prove has the viewer show that it may look, after TLS has begun where it has to.
func (c *client) prove(kind byte) error {
	var subtype uint32
	if kind == securityVeNCrypt {
		var err error
		if subtype, err = c.encrypt(); err != nil {
			return err
		}
	}
	switch {
	case kind == securityVNC, subtype == subtypeX509VNC:
		return c.authenticate()
	case subtype == subtypeX509Plain:
		return c.plain()
	}
	return nil
}

func (c *client) tellResult(minor int, failed error) error {
	var b []byte
	if failed == nil {
		b = make([]byte, 4)
	} else {
		time.Sleep(wrongPassword)
		b = binary.BigEndian.AppendUint32(b, 1)
		if minor >= 8 {
			b = binary.BigEndian.AppendUint32(b, uint32(len(failed.Error())))
			b = append(b, failed.Error()...)
		}
	}
	_, err := c.conn.Write(b)
	return err
}

// authenticate is VNC authentication: the viewer encrypts a challenge with the password (section 7.2.2).
func (c *client) authenticate() error {
	var challenge, answer, want [16]byte
	_, _ = rand.Read(challenge[:]) // never fails
	if _, err := c.conn.Write(challenge[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(c.in, answer[:]); err != nil {
		return err
	}
	if err := respond(want[:], challenge[:], c.password); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(answer[:], want[:]) != 1 {
		return errPassword
	}
	return nil
}

// respond encrypts a challenge with a password: DES, each byte of the key with its bits turned around.
func respond(dst, challenge []byte, password string) error {
	var key [8]byte
	copy(key[:], password)
	for i := range key {
		key[i] = bits.Reverse8(key[i])
	}
	block, err := des.NewCipher(key[:])
	if err != nil {
		return err
	}
	block.Encrypt(dst[:8], challenge[:8])
	block.Encrypt(dst[8:], challenge[8:])
	return nil
}

// maxName bounds the title that viewers are told, in bytes.
const maxName = 256

// serverInit tells size, pixel format and name (section 7.3.2).
func (c *client) serverInit() error {
	c.size = c.screenSize()
	name := c.cfg.Machine.Name[:min(len(c.cfg.Machine.Name), maxName)]
	b := binary.BigEndian.AppendUint16(nil, uint16(c.size.X))
	b = binary.BigEndian.AppendUint16(b, uint16(c.size.Y))
	b = append(b, ownFormat.encode()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	_, err := c.conn.Write(append(b, name...))
	return err
}
