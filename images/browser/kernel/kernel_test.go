package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sharevm/vmm/internal/debian"
)

func TestSource(t *testing.T) {
	if _, err := debian.ParsePin(source[:len(source)-1]); err != nil {
		t.Error(err)
	}
}

func TestIgnored(t *testing.T) {
	want := "# comment\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_C=\"-x\"\nCONFIG_D=8\n"
	for got, lost := range map[string][]string{
		"CONFIG_A=y\nCONFIG_C=\"-x\"\nCONFIG_D=8\n":                              nil,
		"CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"-x\"\nCONFIG_D=8\n":       nil,
		"CONFIG_A=m\nCONFIG_B=y\nCONFIG_C=\"-x\"\nCONFIG_D=16\nCONFIG_ANY=y\n":   {"CONFIG_A=y", "CONFIG_B=n", "CONFIG_D=8"},
		"# CONFIG_A is not set\nCONFIG_C=\"-x\"\nCONFIG_D=8\nCONFIG_UNASKED=y\n": {"CONFIG_A=y"},
	} {
		if l := ignored(want, got); !slices.Equal(l, lost) {
			t.Errorf("%q: ignored %q, want %q", got, l, lost)
		}
	}
}

// TestConfigKeepsHardening holds what the browser machine promises: a small kernel is no softer one.
func TestConfigKeepsHardening(t *testing.T) {
	if lost := ignored("CONFIG_CPU_MITIGATIONS=y\nCONFIG_PAGE_TABLE_ISOLATION=y\nCONFIG_RETPOLINE=y\nCONFIG_STRICT_KERNEL_RWX=y\nCONFIG_STACKPROTECTOR_STRONG=y\n"+
		"CONFIG_HARDENED_USERCOPY=y\nCONFIG_INIT_ON_ALLOC_DEFAULT_ON=y\nCONFIG_SECCOMP_FILTER=y\nCONFIG_USER_NS=y\n", config); lost != nil {
		t.Errorf("the configuration lacks %q", lost)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); err == nil {
		t.Error("an empty folder holds a kernel")
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(aboutName, `{"Inputs":"i","Release":"6.1.0-vmm"}`)
	if _, err := Read(dir); err == nil {
		t.Error("a kernel without its image")
	}
	write(Image, "")
	write(Copyright, "")
	if k, err := Read(dir); err != nil || k.Release != "6.1.0-vmm" {
		t.Errorf("%+v, %v", k, err)
	}
	write(aboutName, `{`)
	if _, err := Read(dir); err == nil {
		t.Error("a torn description")
	}
}
