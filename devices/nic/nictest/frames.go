package nictest

import (
	"encoding/binary"

	"github.com/sharevm/vmm/network"
)

// Kind is what a frame carries.
type Kind struct {
	V6, UDP bool
	VLAN    uint16 // 0: no tag
}

const (
	flagsAll = 0x99 // CWR, ACK, PSH, FIN
	sequence = 1000
)

// Frame is an Ethernet frame from one fixed station to the address to, with all checksums right. TCP headers have 12 bytes of options.
func Frame(to [6]byte, k Kind, payload []byte) []byte {
	b := append([]byte{}, to[:]...)
	b = append(b, 2, 0, 0, 0, 0, 9)
	be := binary.BigEndian
	if k.VLAN != 0 {
		b = be.AppendUint16(be.AppendUint16(b, 0x8100), k.VLAN)
	}
	header, proto := 32, byte(6)
	if k.UDP {
		header, proto = 8, 17
	}
	length := header + len(payload)
	var addresses []byte
	if k.V6 {
		b = be.AppendUint16(b, 0x86dd)
		ip := make([]byte, 40)
		ip[0] = 0x60
		be.PutUint16(ip[4:], uint16(length))
		ip[6], ip[7] = proto, 64
		ip[8], ip[23], ip[24], ip[39] = 0xfd, 1, 0xfd, 2
		addresses = ip[8:]
		b = append(b, ip...)
	} else {
		b = be.AppendUint16(b, 0x0800)
		ip := make([]byte, 20)
		ip[0] = 0x45
		be.PutUint16(ip[2:], uint16(20+length))
		be.PutUint16(ip[4:], 77)
		ip[8], ip[9] = 64, proto
		copy(ip[12:], []byte{10, 0, 2, 15, 10, 0, 2, 2})
		be.PutUint16(ip[10:], ^network.Fold(network.SumBytes(0, ip)))
		addresses = ip[12:]
		b = append(b, ip...)
	}
	sum := network.SumBytes(0, addresses) + uint64(proto) + uint64(length)
	t := make([]byte, header, length)
	be.PutUint16(t, 1234)
	be.PutUint16(t[2:], 80)
	at := 16
	if k.UDP {
		at = 6
		be.PutUint16(t[4:], uint16(length))
	} else {
		be.PutUint32(t[4:], sequence)
		t[12], t[13] = byte(header/4)<<4, flagsAll
	}
	t = append(t, payload...)
	be.PutUint16(t[at:], ^network.Fold(network.SumBytes(sum, t)))
	return append(b, t...)
}
