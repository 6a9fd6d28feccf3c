package main

import (
	"encoding/binary"
	"fmt"
	"os"
)

// Commands of a TPM 2.0 (TCG TPM 2.0 Library, part 3), without sessions.
const (
	tpmTag       = 0x8001
	tpmGetRandom = 0x17B
	tpmPCRRead   = 0x17E
	tpmReadClock = 0x181
)

// useTPM speaks to the TPM through the kernel's driver, and says "tpm random LENGTH", "tpm pcr0 DIGEST" and "tpm resets COUNT".
func useTPM(string) error {
	f, err := os.OpenFile("/dev/tpm0", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	ask := func(code uint32, least int, arguments ...byte) ([]byte, error) {
		be := binary.BigEndian
		command := be.AppendUint16(nil, tpmTag)
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
	const length = 32
	random, err := ask(tpmGetRandom, 2+length, 0, length)
	if err != nil {
		return err
	}
	say("tpm random %d", binary.BigEndian.Uint16(random))
	// One selection of registers: SHA-256 (0Bh), 3 bytes of bits, the first of them set.
	pcr, err := ask(tpmPCRRead, length, 0, 0, 0, 1, 0, 0x0B, 3, 1, 0, 0)
	if err != nil {
		return err
	}
	say("tpm pcr0 %x", pcr[len(pcr)-length:])
	// The time and the clock have 64 bits each, then comes the count of resets.
	clock, err := ask(tpmReadClock, 20)
	if err != nil {
		return err
	}
	say("tpm resets %d", binary.BigEndian.Uint32(clock[16:]))
	return nil
}
