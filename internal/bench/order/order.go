// Package order is what the network benchmark's server, beside the monitor, and its client, in the guest, say to each other over
// their one TCP connection. The server gives orders and takes the time, so that one clock serves both directions.
package order

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Kind is what an order asks of the guest.
type Kind byte

// The orders.
const (
	// Send asks for Count bytes.
	Send Kind = 's'
	// Take announces Count bytes, the last of which the guest answers with one byte.
	Take Kind = 't'
	// Ask asks for Count requests of MessageLen bytes, each sent when the answer to the one before, as long, is there.
	Ask Kind = 'a'
	// End ends the guest's part.
	End Kind = 'e'
)

// MessageLen is the length of a request and of its answer in bytes.
const MessageLen = 64

// Order is one order.
type Order struct {
	Kind  Kind
	Count uint64
}

const size = 9

// Write sends an order.
func (o Order) Write(w io.Writer) error {
	b := binary.BigEndian.AppendUint64([]byte{byte(o.Kind)}, o.Count)
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("send an order: %w", err)
	}
	return nil
}

// Read waits for an order.
func Read(r io.Reader) (Order, error) {
	var b [size]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Order{}, fmt.Errorf("wait for an order: %w", err)
	}
	return Order{Kind: Kind(b[0]), Count: binary.BigEndian.Uint64(b[1:])}, nil
}
