package kernel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// standIn has a script of a shell be make.
func standIn(t *testing.T, script string) *builder {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "make"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return &builder{dir: dir}
}

// TestMakeSaysMuch has a compiler print a line of a megabyte: it is read to its end.
func TestMakeSaysMuch(t *testing.T) {
	b := standIn(t, "head -c 1000000 /dev/zero | tr '\\0' x\necho done >said\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.make(ctx, b.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "said")); err != nil {
		t.Error(err)
	}
}

// TestMakeInterrupted ends a compilation that somebody no longer wants: that is not the compiler's failure.
func TestMakeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	b := standIn(t, "echo begun >begun\nexec sleep 60\n")
	go func() {
		defer cancel()
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(filepath.Join(b.dir, "begun")); err == nil {
				return
			}
		}
	}()
	if err := b.make(ctx, b.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
