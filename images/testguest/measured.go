package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Layout of the log of measurements (TCG PC Client Platform Firmware Profile 1.05, sections 9.2 and 9.4), little endian: a record of TPM 1.2's form, which says
// so, then those of TPM 2.0's.
const (
	firstRecord = 4 + 4 + 20 // register, type, SHA-1; the size of what follows is next

	eventNoAction = 3 // measured nothing
	algSHA256     = 0x0B
)

// digestSizes are the lengths of digests by their algorithm: SHA-1, SHA-256, SHA-384, SHA-512, SM3.
var digestSizes = map[uint16]int{4: 20, algSHA256: 32, 0xC: 48, 0xD: 64, 0x12: 32}

// checkMeasured compares what firmware has logged with what the TPM's registers say: "measured EVENTS", "measured register N".
func checkMeasured(string) error {
	const folder = "/sys/kernel/security"
	if err := unix.Mount("securityfs", folder, "securityfs", 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount securityfs: %w", err)
	}
	log, err := os.ReadFile(folder + "/tpm0/binary_bios_measurements")
	if err != nil {
		return err
	}
	registers, events, err := replay(log)
	if err != nil {
		return err
	}
	say("measured %d", events)
	for n, want := range registers {
		b, err := os.ReadFile(fmt.Sprintf("/sys/class/tpm/tpm0/pcr-sha256/%d", n))
		if err != nil {
			return err
		}
		got, err := hex.DecodeString(string(bytes.TrimSpace(b)))
		if err != nil || !bytes.Equal(got, want[:]) {
			return fmt.Errorf("register %d is %s, the log makes it %x, error %v", n, bytes.TrimSpace(b), want, err)
		}
		say("measured register %d", n)
	}
	return nil
}

// replay does what the log says that firmware did, from registers of zero.
func replay(log []byte) (registers map[uint32][sha256.Size]byte, events int, err error) {
	r := &records{rest: log}
	r.take(firstRecord)
	r.take(int(r.number()))
	registers = map[uint32][sha256.Size]byte{}
	for len(r.rest) > 0 && !r.short {
		register, kind := r.number(), r.number()
		var digest []byte
		for range min(r.number(), 16) {
			alg := binary.LittleEndian.Uint16(r.take(2))
			d := r.take(digestSizes[alg])
			if alg == algSHA256 {
				digest = d
			}
		}
		r.take(int(r.number()))
		if r.short || kind == eventNoAction {
			continue
		}
		if len(digest) == 0 {
			return nil, 0, fmt.Errorf("record %d of type %#x has no SHA-256", events, kind)
		}
		before := registers[register]
		registers[register] = sha256.Sum256(append(before[:], digest...))
		events++
	}
	if r.short || events == 0 {
		return nil, 0, fmt.Errorf("a log of %d bytes, of which %d records make sense", len(log), events)
	}
	return registers, events, nil
}

// records reads a log; after its end, zeroes.
type records struct {
	rest  []byte
	short bool
}

func (r *records) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.short, r.rest = true, nil
		return make([]byte, max(min(n, 64), 4))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *records) number() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }
