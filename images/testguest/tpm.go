package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Tags and commands of a TPM 2.0 (TCG TPM 2.0 Library, part 2, section 6.9, and part 3).
const (
	tpmNoSessions = 0x8001
	tpmSessions   = 0x8002

	tpmPCREvent  = 0x13C
	tpmGetRandom = 0x17B
	tpmPCRRead   = 0x17E
	tpmReadClock = 0x181
)

// useTPM ([extend]) speaks to the TPM through the kernel's driver, and says "tpm random LENGTH", "tpm pcr0 DIGEST" and "tpm resets COUNT". It may extend PCR 0 before.
func useTPM(how string) error {
	// A file of os would not block, and the driver then answers a read that comes too early with no bytes.
	fd, err := unix.Open("/dev/tpm0", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "/dev/tpm0")
	defer f.Close()
	ask := func(tag uint16, code uint32, least int, arguments ...byte) ([]byte, error) {
		be := binary.BigEndian
		command := be.AppendUint16(nil, tag)
		command = be.AppendUint32(command, uint32(10+len(arguments)))
		command = append(be.AppendUint32(command, code), arguments...)
		if _, err := f.Write(command); err != nil {
			return nil, fmt.Errorf("command %#x: %w", code, err)
		}
		b := make([]byte, 4096)
		n, err := f.Read(b)
		switch {
		case err != nil:
			return nil, fmt.Errorf("response to %#x: %w", code, err)
		case n < 10 || be.Uint32(b[6:]) != 0 || n-10 < least:
			return nil, fmt.Errorf("response to %#x: % x", code, b[:n])
		}
		return b[10:n], nil
	}
	if how == "extend" {
		// PCR 0; an empty password (40000009h), which takes 9 bytes; an event of 3 bytes.
		if _, err := ask(tpmSessions, tpmPCREvent, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 'a', 'b', 'c'); err != nil {
			return err
		}
	}
	const length = 32
	random, err := ask(tpmNoSessions, tpmGetRandom, 2+length, 0, length)
	if err != nil {
		return err
	}
	say("tpm random %d", binary.BigEndian.Uint16(random))
	// One selection of registers: SHA-256 (0Bh), 3 bytes of bits, the first of them set.
	pcr, err := ask(tpmNoSessions, tpmPCRRead, length, 0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0)
	if err != nil {
		return err
	}
	say("tpm pcr0 %x", pcr[len(pcr)-length:])
	// The time and the clock have 64 bits each, then comes the count of resets.
	clock, err := ask(tpmNoSessions, tpmReadClock, 20)
	if err != nil {
		return err
	}
	say("tpm resets %d", binary.BigEndian.Uint32(clock[16:]))
	return nil
}
