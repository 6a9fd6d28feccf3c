package guesttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"image"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// trustPage is of one colour, another one each time that it is asked for. By keys it has its own process crash, and the browser.
const trustPage = `<!doctype html><meta charset=utf-8><title>page</title><link rel=icon href="data:,"><style>body { margin: 0; background: #%06x }</style>
<script>addEventListener("keydown", e => { if (e.key == "p") location.hash = "crash-page"; if (e.key == "b") location.hash = "crash-browser" })</script>`

var trustColours = []uint32{0x208020, 0x2040c0, 0xc08020}

// secureSite serves the page by HTTPS on the host's loopback, with a certificate of an authority that nobody knows.
type secureSite struct {
	port      string
	authority []byte // PEM

	mu      sync.Mutex
	visits  int
	refused bool // a browser did not trust it
}

// Write implements io.Writer for the server's log.
func (s *secureSite) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = s.refused || strings.Contains(string(p), "unknown certificate")
	return len(p), nil
}

func (s *secureSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintf(w, trustPage, trustColours[s.visits%len(trustColours)])
	s.visits++
}

// certificate makes a certificate that an authority has signed, or which is one itself.
func certificate(t *testing.T, template, authority *x509.Certificate, by *ecdsa.PrivateKey) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if by == nil {
		authority, by = template, key
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if der, err = x509.CreateCertificate(rand.Reader, template, authority, key.Public(), by); err != nil {
		t.Fatal(err)
	}
	return der, key
}

func serveSecurely(t *testing.T) *secureSite {
	t.Helper()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	authority.Subject.CommonName = "vmm's test"
	ca, caKey := certificate(t, authority, nil, nil)
	host := &x509.Certificate{SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(10, 0, 2, 2)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, key := certificate(t, host, authority, caKey)
	s := &secureSite{authority: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca})}
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.Config.ErrorLog = log.New(s, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	var err error
	if _, s.port, err = net.SplitHostPort(server.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return s
}

// trusting is the browser machine with the site as its start page, and the site's authority if it is to trust that.
func trusting(t *testing.T, s *secureSite, trust bool) *guest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(browserDir, "chromeos.vmx"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"root.vmdk", "vmlinux", "initrd"} {
		text = []byte(strings.Replace(string(text), `"`+name+`"`, `"`+filepath.Join(browserDir, name)+`"`, 1))
	}
	text = fmt.Appendf(text, "vmm.kiosk.url = \"https://10.0.2.2:%s/\"\n", s.port)
	if trust {
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), s.authority, 0o600); err != nil {
			t.Fatal(err)
		}
		text = append(text, "vmm.kiosk.ca = \"ca.pem\"\n"...)
	}
	path := filepath.Join(dir, "chromeos.vmx")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &machineFile{}
	return f.startAs(t, exec.Command(vmmBin, "run", "--allow-outside", "--cold", "--host-access", s.port, "--append", "vmm.kiosk.crash", path))
}

// TestBrowserTrust has the browser machine look at a site by HTTPS whose authority it does not know, and at the same when it was told to trust that. Then the page's process
// crashes, and then the browser: both times the page comes back by itself.
func TestBrowserTrust(t *testing.T) {
	needGuests(t)
	if browserDir == "" {
		t.Skip("the browser machine is used by make test-browser")
	}
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	lastingCache(t)
	s := serveSecurely(t)
	stop := func(g *guest) {
		vmm(t, "stop", "--hard", browserID)
		if err := g.wait(); err != nil {
			t.Error(err)
		}
	}
	g := trusting(t, s, false)
	shows(t, "warning", func(img image.Image) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		// The browser's warning is text, whose edges have many shades.
		shades := map[uint32]bool{}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				shades[pixel(img, x, y)] = true
			}
		}
		return s.refused && len(shades) > 50 || s.visits > 0
	})
	stop(g)
	if s.visits > 0 {
		t.Fatal("a page of somebody whom nobody knows is shown")
	}

	g = trusting(t, s, true)
	colour := func(visit int) func(image.Image) bool {
		return func(img image.Image) bool { return pixel(img, 400, 400) == trustColours[visit] }
	}
	shows(t, "trusted", colour(0))
	vmm(t, "type", browserID, "p")
	g.expect("a page has crashed")
	shows(t, "page-again", colour(1))
	vmm(t, "mouse", browserID, "600,600", "--size", "1280x800", "--click", "left") // a page that was loaded anew has not got the keyboard back
	vmm(t, "type", browserID, "b")
	g.expect("the browser ended")
	shows(t, "browser-again", colour(2))
	stop(g)
}
