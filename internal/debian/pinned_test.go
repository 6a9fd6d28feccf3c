package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const someSum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParsePin(t *testing.T) {
	p, err := ParsePin("libnss3 2:3.87.1-1+deb12u2 " + someSum)
	if want := (Pin{"libnss3", "2:3.87.1-1+deb12u2", someSum}); err != nil || p != want {
		t.Fatalf("%+v, %v", p, err)
	}
	if got := p.folder(); got != "libnss3_2%3a3.87.1-1+deb12u2" {
		t.Errorf("folder %q", got)
	}
	for _, bad := range []string{
		"", "cage", "cage 1", "cage 1 " + someSum[1:], "cage 1 " + someSum + " x", "cage ../1 " + someSum,
		"../cage 1 " + someSum, "--option 1 " + someSum, "cage 1/2 " + someSum, "cage 1 " + strings.Replace(someSum, "0", "x", 1),
	} {
		if p, err := ParsePin(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func TestParseURIs(t *testing.T) {
	got, err := parseURIs([]byte(`Reading package lists...
'http://deb.debian.org/debian/pool/main/n/nss/libnss3_3.87.deb' libnss3_2%3a3.87.1-1+deb12u2_amd64.deb 1 MD5Sum:0
'http://deb.debian.org/debian/pool/main/c/cage/cage_0.1.4-4_amd64.deb' cage_0.1.4-4_amd64.deb 2 MD5Sum:0
`))
	if want := []string{"libnss3=2:3.87.1-1+deb12u2", "cage=0.1.4-4"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"'x'", "'x' cage.deb 1 MD5Sum:0"} {
		if got, err := parseURIs([]byte(bad)); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

// TestPinnedNeedsNoApt: what is there is taken as it is, in the order of the pins.
func TestPinnedNeedsNoApt(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	pins := []Pin{{"b", "2:1", someSum}, {"a", "1", someSum}}
	var want []string
	for _, name := range []string{"b_2%3a1", "a_1"} {
		want = append(want, filepath.Join(s.dir, name))
		if err := os.Mkdir(want[len(want)-1], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Pinned(t.Context(), pins); err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := s.Pinned(t.Context(), append(pins, Pin{"c", "1", someSum})); err == nil {
		t.Error("a package that is nowhere: no error")
	}
}

// TestPinnedChecksum: a file that is not the pinned one is not unpacked.
func TestPinnedChecksum(t *testing.T) {
	s, err := Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	if err := os.WriteFile(filepath.Join(tmp, "a_1_amd64.deb"), []byte("forged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.storePinned(t.Context(), tmp, Pin{"a", "1", someSum}); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("%v", err)
	}
	if len(s.missing([]Pin{{"a", "1", someSum}})) != 1 {
		t.Error("the package is there")
	}
}
