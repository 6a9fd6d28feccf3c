package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sharevm/vmm/boot/payload"
	"github.com/sharevm/vmm/boot/pvh"
)

func TestTinyKernelIsOne(t *testing.T) {
	image, err := tinyKernel()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.elf")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := payload.FromOS(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := pvh.Check(p); err != nil {
		t.Fatal(err)
	}
}

func TestTimelineStep(t *testing.T) {
	m := timelineStep.FindStringSubmatch("     10.12 ms       +0.05  first guest instruction")
	if m == nil || m[1] != "10.12" || m[2] != "0.05" || m[3] != firstInstruction {
		t.Fatalf("%q", m)
	}
}
