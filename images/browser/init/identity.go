package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// renewIdentity gives the machine a name and an identifier that no other has: clones of one snapshot must not be taken for each other.
func renewIdentity() error {
	var id [16]byte
	rand.Read(id[:])
	text := hex.EncodeToString(id[:])
	if err := os.WriteFile("/run/machine-id", []byte(text+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("browser-" + text[:8])); err != nil {
		return fmt.Errorf("naming the machine: %w", err)
	}
	return nil
}
