package machine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
)

// TestAuthorities reads certificates, leaves out what is none, and finds them in the archive again.
func TestAuthorities(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	other := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret")})
	path := filepath.Join(t.TempDir(), "ca.pem")
	for _, test := range []struct {
		name, text, want string
	}{
		{"two and a key", "a word\n" + string(certificate) + string(other) + string(certificate), ""},
		{"none", "nothing of the kind", "no certificate"},
		{"a key", string(other), "no certificate"},
		{"damaged", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[1:]})), "x509"},
		{"too long", strings.Repeat(" ", maxAuthorities+1), "more than"},
	} {
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readAuthorities(path)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if want := append(bytes.Clone(certificate), certificate...); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
		archive := authoritiesArchive(got)
		// The kernel's reading of it: the name's and the file's length stand in the head, and both begin at multiples of four.
		const head, sizeAt, nameAt = 110, 54, 94
		field := func(at int) int {
			n, err := strconv.ParseInt(string(archive[at:at+8]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		name := string(archive[head : head+field(nameAt)-1])
		data := archive[(head+field(nameAt)+3)&^3:][:field(sizeAt)]
		if name != config.KioskAuthorities || !bytes.Equal(data, got) || len(archive)%4 != 0 || !bytes.Contains(archive, []byte("TRAILER!!!\x00")) {
			t.Errorf("%q: %q", name, archive)
		}
	}
	if _, err := readAuthorities(path + "x"); err == nil {
		t.Error("a file that is not there is read")
	}
}
