package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// settled is how long the picture of a machine that nobody knows must not change before it is saved, and settling how long that may take.
	settled, settling = 5 * time.Second, 5 * time.Minute
	// alike is how many of a thousand pixels may differ between the picture that was saved and the one that goes on: clocks and cursors.
	alike = 2
)

// newFileSaver has our monitor save the machine of a .vmx, in a copy of its folder.
func newFileSaver(f *files, dir, vmx string) (s saver, err error) {
	if err := f.openSockets(); err != nil {
		return s, err
	}
	if _, err := output("cp", "-r", "--sparse=always", filepath.Dir(vmx), filepath.Join(dir, "machine")); err != nil {
		return s, err
	}
	s = ourSaver(f, f.onlyMachine, filepath.Join(dir, "machine", filepath.Base(vmx)))
	var reference, first []uint32
	s.ready = func(g *saved) (err error) {
		go func() { _, _ = io.Copy(io.Discard, g.out) }() // a pipe that is full would stop it
		g.dog.Stop()
		reference, err = settle(time.Now().Add(settling))
		return err
	}
	s.picture.right = func(v *viewer) bool {
		first = append([]uint32(nil), v.pixels...)
		return differ(first, reference) <= len(reference)*alike/1000
	}
	s.picture.answered = func(v *viewer) bool { return differ(first, v.pixels) > 0 }
	return s, nil
}

// onlyMachine is the id of the machine that runs.
func (f *files) onlyMachine(ctx context.Context) (string, error) {
	b, err := exec.CommandContext(ctx, f.vmm, "ps", "--json").Output()
	if err != nil {
		return "", fmt.Errorf("vmm ps: %w", err)
	}
	var all []struct{ ID string }
	if err := json.Unmarshal(b, &all); err != nil || len(all) != 1 {
		return "", fmt.Errorf("vmm ps: %d machines run, %w", len(all), err)
	}
	return all[0].ID, nil
}

// settle waits until the picture has not changed for a while, and returns it.
func settle(end time.Time) ([]uint32, error) {
	v, err := dialViewer(fmt.Sprint("127.0.0.1:", screenPort), end)
	if err != nil {
		return nil, err
	}
	defer v.close()
	for shown := 0; ; {
		if err := v.conn.SetReadDeadline(time.Now().Add(settled)); err != nil {
			return nil, err
		}
		err := v.next()
		var late net.Error
		switch {
		case err == nil:
			shown++
		case !errors.As(err, &late) || !late.Timeout():
			return nil, err
		case shown > 1 && differ(v.pixels, make([]uint32, len(v.pixels))) > len(v.pixels)/10: // a screen that is off, or a console, is not what anybody waits for
			return v.pixels, nil
		case time.Now().After(end):
			return nil, fmt.Errorf("its picture does not settle within %v", settling)
		}
	}
}

// differ is how many pixels differ.
func differ(a, b []uint32) (n int) {
	if len(a) != len(b) {
		return max(len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
