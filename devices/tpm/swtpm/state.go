package swtpm

import (
	"fmt"
	"io"
	"time"
)

// State is what a TPM remembers, in the program's own formats.
type State struct {
	Permanent []byte // what it keeps without power
	Volatile  []byte // the rest, registers of measurements above all
}

// MaxState bounds each part of a State, in bytes.
const MaxState = 1 << 20

// Types of state in CMD_GET_STATEBLOB and CMD_SET_STATEBLOB.
const (
	typePermanent = 1
	typeVolatile  = 2
)

// volatileFile is where the program puts a volatile state that it is to go on from.
const volatileFile = "tpm2-00.volatilestate"

// Save returns the state. No command may be under way.
func (t *TPM) Save() (s State, err error) {
	if s.Permanent, err = t.get(typePermanent); err != nil {
		return State{}, err
	}
	if s.Volatile, err = t.get(typeVolatile); err != nil {
		return State{}, err
	}
	return s, nil
}

func (t *TPM) get(kind uint32) ([]byte, error) {
	var flags, total, length uint32
	if err := t.ask(cmdGetState, encode(cmdGetState, 0, kind, 0), &flags, &total, &length); err != nil {
		return nil, err
	}
	if length != total || length == 0 || length > MaxState {
		return nil, fmt.Errorf("swtpm: %v: %d of %d bytes, at most %d are possible", cmdGetState, length, total, MaxState)
	}
	b := make([]byte, length)
	if _, err := io.ReadFull(t.control, b); err != nil {
		return nil, fmt.Errorf("swtpm: %v: %w", cmdGetState, err)
	}
	return b, nil
}

// Restore goes on from a state. What the TPM remembered before is lost. No command may be under way.
func (t *TPM) Restore(s State) error {
	if err := t.ask(cmdStop, encode(cmdStop)); err != nil {
		return err
	}
	if err := t.set(typePermanent, s.Permanent); err != nil {
		return err
	}
	if err := t.set(typeVolatile, s.Volatile); err != nil {
		return err
	}
	return t.PowerOn()
}

func (t *TPM) set(kind uint32, b []byte) error {
	request := encode(cmdSetState, 0, kind, uint32(len(b)))
	if err := t.control.SetDeadline(time.Now().Add(controlLimit)); err != nil {
		return fmt.Errorf("swtpm: %v: %w", cmdSetState, err)
	}
	// The program takes the header by itself.
	if _, err := t.control.Write(request); err != nil {
		return fmt.Errorf("swtpm: %v: %w", cmdSetState, err)
	}
	return t.ask(cmdSetState, b)
}
