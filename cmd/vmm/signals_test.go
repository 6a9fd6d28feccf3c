package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
)

func TestIgnoredSignalsStayIgnored(t *testing.T) {
	// Not SIGHUP: this test itself may run under nohup.
	all := []os.Signal{syscall.SIGTERM, syscall.SIGUSR2, syscall.SIGUSR1}
	if got := wanted(all...); !slices.Equal(got, all) {
		t.Errorf("%v is left of %v", got, all)
	}
	signal.Ignore(syscall.SIGUSR2) // as nohup has SIGHUP
	defer signal.Reset(syscall.SIGUSR2)
	if got, want := wanted(all...), []os.Signal{syscall.SIGTERM, syscall.SIGUSR1}; !slices.Equal(got, want) {
		t.Errorf("%v is left, want %v", got, want)
	}
}

// TestOutlivesReaders runs this test again as a child whose standard output nobody reads any more.
func TestOutlivesReaders(t *testing.T) {
	const child = "VMM_TEST_NO_READER"
	if os.Getenv(child) != "" {
		outliveReaders()
		_, err := os.Stdout.Write([]byte("hello"))
		fmt.Fprint(os.Stderr, "alive after ", err)
		os.Exit(0)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer w.Close()
	var said bytes.Buffer
	c := exec.Command(os.Args[0], "-test.run=^TestOutlivesReaders$")
	c.Env = append(os.Environ(), child+"=1")
	c.Stdout, c.Stderr = w, &said
	if err := c.Run(); err != nil || !bytes.Contains(said.Bytes(), []byte("broken pipe")) {
		t.Errorf("%v, and it said %q", err, said.String())
	}
}
