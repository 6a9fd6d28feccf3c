package swtpm

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// command is a command of the control channel.
type command uint32

const (
	cmdInit          command = 2
	cmdShutdown      command = 3
	cmdSetLocality   command = 5
	cmdGetState      command = 12
	cmdSetState      command = 13
	cmdStop          command = 14
	cmdSetDataFD     command = 16
	cmdSetBufferSize command = 17
)

func (c command) String() string {
	switch c {
	case cmdInit:
		return "CMD_INIT"
	case cmdShutdown:
		return "CMD_SHUTDOWN"
	case cmdSetLocality:
		return "CMD_SET_LOCALITY"
	case cmdGetState:
		return "CMD_GET_STATEBLOB"
	case cmdSetState:
		return "CMD_SET_STATEBLOB"
	case cmdStop:
		return "CMD_STOP"
	case cmdSetDataFD:
		return "CMD_SET_DATAFD"
	case cmdSetBufferSize:
		return "CMD_SET_BUFFERSIZE"
	}
	return fmt.Sprintf("command %d", uint32(c))
}

// deleteVolatile has CMD_INIT delete the saved volatile state, once it has gone on from there if there is any.
const deleteVolatile = 1

const (
	// controlLimit is how long a command of the control channel may take. They wait for the TPM's own command, of which there is none when we ask.
	controlLimit = 20 * time.Second
	// executeLimit is how long a TPM's command may take: Linux gives the slowest, which make keys, as much.
	executeLimit = 5 * time.Minute
)

// stream is a socket.
type stream interface {
	io.ReadWriteCloser
	SetDeadline(time.Time) error
}

// encode makes a command of the control channel.
func encode(c command, arguments ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(c))
	for _, a := range arguments {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

// ask sends a command to the control channel and takes its result and as many more numbers as results has room for.
func (t *TPM) ask(c command, request []byte, results ...*uint32) error {
	if err := t.control.SetDeadline(time.Now().Add(controlLimit)); err != nil {
		return fmt.Errorf("swtpm: %v: %w", c, err)
	}
	if len(request) > 0 {
		if _, err := t.control.Write(request); err != nil {
			return fmt.Errorf("swtpm: %v: %w", c, err)
		}
	}
	var b [4]byte
	if _, err := io.ReadFull(t.control, b[:]); err != nil {
		return fmt.Errorf("swtpm: %v: %w", c, err)
	}
	if result := binary.BigEndian.Uint32(b[:]); result != 0 {
		return fmt.Errorf("swtpm: %v: result %#x", c, result)
	}
	for _, r := range results {
		if _, err := io.ReadFull(t.control, b[:]); err != nil {
			return fmt.Errorf("swtpm: %v: %w", c, err)
		}
		*r = binary.BigEndian.Uint32(b[:])
	}
	return nil
}

// Header of a response.
const (
	headerSize = 10
	sizeOffset = 2
)

// Execute implements tpm.Backend.
func (t *TPM) Execute(command, response []byte) (int, error) {
	if err := t.data.SetDeadline(time.Now().Add(executeLimit)); err != nil {
		return 0, fmt.Errorf("swtpm: %w", err)
	}
	if _, err := t.data.Write(command); err != nil {
		return 0, fmt.Errorf("swtpm: send a command: %w", err)
	}
	if _, err := io.ReadFull(t.data, response[:headerSize]); err != nil {
		return 0, fmt.Errorf("swtpm: receive a response: %w", err)
	}
	n := binary.BigEndian.Uint32(response[sizeOffset:])
	if n < headerSize || uint64(n) > uint64(len(response)) {
		return 0, fmt.Errorf("swtpm: a response of %d bytes, at most %d are possible", n, len(response))
	}
	if _, err := io.ReadFull(t.data, response[headerSize:n]); err != nil {
		return 0, fmt.Errorf("swtpm: receive a response: %w", err)
	}
	return int(n), nil
}

// PowerOn resets the TPM, as at a machine's power-on. No command may be under way.
func (t *TPM) PowerOn() error {
	if err := t.ask(cmdInit, encode(cmdInit, deleteVolatile)); err != nil {
		return t.explain(fmt.Errorf("start the TPM with the state in %s: %w", t.dir, err))
	}
	return t.ask(cmdSetLocality, encode(cmdSetLocality, 0))
}
