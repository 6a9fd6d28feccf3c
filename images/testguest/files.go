package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// verifyFiles (COUNT) writes files into the root file system, has them flushed, drops the kernel's cache and reads them back.
func verifyFiles(args string) error {
	count, err := strconv.Atoi(args)
	if err != nil {
		return err
	}
	rng := rand.NewChaCha8([32]byte{1})
	sums := make([][sha256.Size]byte, count)
	name := func(i int) string { return filepath.Join("/root", "file"+strconv.Itoa(i)) }
	for i := range sums {
		b := make([]byte, 1+rng.Uint64()%(256<<10))
		_, _ = rng.Read(b)
		sums[i] = sha256.Sum256(b)
		if err := writeSynced(name(i), b); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		return err
	}
	all := sha256.New()
	for i, want := range sums {
		b, err := os.ReadFile(name(i))
		if err != nil {
			return err
		}
		if got := sha256.Sum256(b); !bytes.Equal(got[:], want[:]) {
			return fmt.Errorf("%s: wrong content", name(i))
		}
		all.Write(want[:])
	}
	say("files %d sha256=%x", count, all.Sum(nil))
	return nil
}

func writeSynced(path string, b []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
