package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// errEnd ends a connection in good order: the client wanted it so.
var errEnd = errors.New("the client ended the session")

// breach is what a client did against the protocol.
type breach string

func (b breach) Error() string { return string(b) }

// negotiation is a connection in its handshake phase.
type negotiation struct {
	export *Export
	in     *bufio.Reader
	out    io.Writer
	reply  []byte // what is to be sent next
	data   []byte // the option at hand

	noZeroes   bool
	structured bool
	contexts   contextSet
	of         string // the name that contexts were selected for
}

// run negotiates until transmission may begin.
func (n *negotiation) run() error {
	n.reply = binary.BigEndian.AppendUint64(n.reply, magicInit)
	n.reply = binary.BigEndian.AppendUint64(n.reply, magicOption)
	n.reply = binary.BigEndian.AppendUint16(n.reply, handshakeFixedNewstyle|handshakeNoZeroes)
	if err := n.send(); err != nil {
		return err
	}
	var flags [4]byte
	if _, err := io.ReadFull(n.in, flags[:]); err != nil {
		return err
	}
	f := binary.BigEndian.Uint32(flags[:])
	if f&^(handshakeFixedNewstyle|handshakeNoZeroes) != 0 {
		return breach(fmt.Sprintf("unknown client flags %#x", f))
	}
	n.noZeroes = f&handshakeNoZeroes != 0
	for range maxOptions {
		done, err := n.option()
		if e := n.send(); err == nil {
			err = e
		}
		if done || err != nil {
			return err
		}
	}
	return breach("no end of options")
}

func (n *negotiation) send() error {
	if len(n.reply) == 0 {
		return nil
	}
	_, err := n.out.Write(n.reply)
	n.reply = n.reply[:0]
	return err
}

// option reads an option and prepares the reply to it. It returns true once the handshake is over.
func (n *negotiation) option() (done bool, err error) {
	var head [16]byte
	if _, err := io.ReadFull(n.in, head[:]); err != nil {
		return false, err
	}
	if m := binary.BigEndian.Uint64(head[:]); m != magicOption {
		return false, breach(fmt.Sprintf("magic number %#x instead of an option's", m))
	}
	opt, length := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
	if length > maxSkip {
		return false, breach(fmt.Sprintf("option %d with %d bytes of data", opt, length))
	}
	if length > maxOption {
		if _, err := n.in.Discard(int(length)); err != nil {
			return false, err
		}
		if opt == optExportName {
			return false, breach("export name too long")
		}
		n.fail(opt, repErrTooBig, "the option is too large")
		return false, nil
	}
	if uint32(cap(n.data)) < length {
		n.data = make([]byte, length)
	}
	n.data = n.data[:length]
	if _, err := io.ReadFull(n.in, n.data); err != nil {
		return false, err
	}
	return n.answer(opt)
}

// answer prepares the reply to an option whose data has been read (section "Option types").
func (n *negotiation) answer(opt uint32) (done bool, err error) {
	switch opt {
	case optExportName:
		return true, n.exportName()
	case optAbort:
		n.append(opt, repAck, nil)
		return true, errEnd
	case optList:
		if len(n.data) != 0 {
			n.fail(opt, repErrInvalid, "LIST takes no data")
			break
		}
		n.append(opt, repServer, append(binary.BigEndian.AppendUint32(nil, uint32(len(n.export.Name))), n.export.Name...))
		n.append(opt, repAck, nil)
	case optInfo, optGo:
		return n.info(opt), nil
	case optStructuredReply:
		if len(n.data) != 0 {
			n.fail(opt, repErrInvalid, "STRUCTURED_REPLY takes no data")
			break
		}
		n.structured = true
		n.append(opt, repAck, nil)
	case optListMetaContext, optSetMetaContext:
		n.meta(opt)
	default:
		n.fail(opt, repErrUnsup, "no such option here")
	}
	return false, nil
}

// exportName is EXPORT_NAME, to which there is no error reply.
func (n *negotiation) exportName() error {
	name := string(n.data)
	if !n.export.is(name) {
		return breach("unknown export")
	}
	n.settle(name)
	n.reply = binary.BigEndian.AppendUint64(n.reply, uint64(n.export.Image.Size()))
	n.reply = binary.BigEndian.AppendUint16(n.reply, n.flags())
	if !n.noZeroes {
		n.reply = append(n.reply, make([]byte, 124)...)
	}
	return nil
}

// settle forgets contexts that were selected for another name than the one that transmission is for.
func (n *negotiation) settle(name string) {
	if n.of != name {
		n.contexts = 0
	}
}

// info is INFO and GO; it returns true if transmission begins.
func (n *negotiation) info(opt uint32) bool {
	name, infos, ok := parseGo(n.data)
	if !ok {
		n.fail(opt, repErrInvalid, "malformed option")
		return false
	}
	if !n.export.is(name) {
		n.fail(opt, repErrUnknown, "no such export")
		return false
	}
	b := binary.BigEndian.AppendUint16(nil, infoExport)
	b = binary.BigEndian.AppendUint64(b, uint64(n.export.Image.Size()))
	n.append(opt, repInfo, binary.BigEndian.AppendUint16(b, n.flags()))
	if infos&(1<<infoName) != 0 {
		n.append(opt, repInfo, append(binary.BigEndian.AppendUint16(b[:0], infoName), n.export.Name...))
	}
	if infos&(1<<infoDescription) != 0 && n.export.Description != "" {
		n.append(opt, repInfo, append(binary.BigEndian.AppendUint16(b[:0], infoDescription), n.export.Description...))
	}
	if infos&(1<<infoBlockSize) != 0 {
		b = binary.BigEndian.AppendUint16(b[:0], infoBlockSize)
		b = binary.BigEndian.AppendUint32(b, 1)
		b = binary.BigEndian.AppendUint32(b, n.export.preferred())
		n.append(opt, repInfo, binary.BigEndian.AppendUint32(b, MaxPayload))
	}
	n.append(opt, repAck, nil)
	if opt == optGo {
		n.settle(name)
	}
	return opt == optGo
}

// meta is LIST_META_CONTEXT and SET_META_CONTEXT.
func (n *negotiation) meta(opt uint32) {
	if opt == optSetMetaContext {
		n.contexts, n.of = 0, "" // "including when this command fails"
		if !n.structured {
			n.fail(opt, repErrInvalid, "structured replies come first")
			return
		}
	}
	name, set, ok := parseMeta(n.data, opt == optListMetaContext)
	if !ok {
		n.fail(opt, repErrInvalid, "malformed option")
		return
	}
	if !n.export.is(name) {
		n.fail(opt, repErrUnknown, "no such export")
		return
	}
	if opt == optSetMetaContext {
		n.contexts, n.of = set, name
	}
	for rest := set; rest != 0; rest &= rest - 1 {
		k := bits.TrailingZeros8(uint8(rest))
		id := uint32(0) // reserved in a list
		if opt == optSetMetaContext {
			id = uint32(k) + 1
		}
		n.append(opt, repMetaContext, append(binary.BigEndian.AppendUint32(nil, id), contexts[k].name...))
	}
	n.append(opt, repAck, nil)
}

// flags are the transmission flags.
func (n *negotiation) flags() uint16 {
	f := uint16(flagHasFlags | flagFlush | flagFUA | flagMultiConn | flagCache)
	if n.export.ReadOnly {
		f |= flagReadOnly
	} else {
		f |= flagTrim | flagWriteZeroes | flagFastZero
	}
	if n.structured {
		f |= flagDontFragment
	}
	return f
}

// append adds a reply to an option.
func (n *negotiation) append(opt, kind uint32, data []byte) {
	n.reply = binary.BigEndian.AppendUint64(n.reply, magicOptionReply)
	n.reply = binary.BigEndian.AppendUint32(n.reply, opt)
	n.reply = binary.BigEndian.AppendUint32(n.reply, kind)
	n.reply = binary.BigEndian.AppendUint32(n.reply, uint32(len(data)))
	n.reply = append(n.reply, data...)
}

func (n *negotiation) fail(opt, kind uint32, message string) { n.append(opt, kind, []byte(message)) }
