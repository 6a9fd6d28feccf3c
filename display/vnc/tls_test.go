package vnc

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// secure is a server that encrypts, and where its certificate lies.
func secure(t *testing.T, password string) (s *Server, at netip.AddrPort, folder string) {
	t.Helper()
	s, _ = screen(t, password, 20, 20)
	folder = filepath.Join(t.TempDir(), "vmm")
	cert, err := Certificate(folder)
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Certificate = cert
	if at, err = s.Listen(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	return s, at, folder
}

// talk is a viewer's end of a connection in the making.
type talk struct {
	net.Conn
	t *testing.T
}

func call(t *testing.T, at netip.AddrPort) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &talk{conn, t}
}

// gives fails unless the server says this next.
func (k *talk) gives(want string) {
	k.t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(k, b); err != nil || string(b) != want {
		k.t.Fatalf("%.80q, %v, want %.80q", b, err, want)
	}
}

func (k *talk) say(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k.Conn, s); err != nil {
		k.t.Fatal(err)
	}
}

const offered = "\x00\x02\x00\x00\x01\x05\x00\x00\x01\x06" // X509Vnc, X509Plain

// agree comes to the point where TLS begins.
func (k *talk) agree(list, chosen string) {
	k.t.Helper()
	k.gives("RFB 003.008\n")
	k.say("RFB 003.008\n")
	k.gives("\x01\x13")
	k.say("\x13")
	k.gives("\x00\x02")
	k.say("\x00\x02")
	k.gives(list)
	k.say(chosen)
	k.gives("\x01")
}

// encrypted begins TLS, and believes nothing but the certificate in the folder.
func (k *talk) encrypted(folder string) *talk {
	k.t.Helper()
	b, err := os.ReadFile(filepath.Join(folder, CertificateFile))
	if err != nil {
		k.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	c := tls.Client(k.Conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	if err := c.Handshake(); err != nil {
		k.t.Fatal(err)
	}
	return &talk{c, k.t}
}

// looks takes a picture.
func (k *talk) looks() {
	k.t.Helper()
	k.say("\x01")
	k.gives("\x00\x14\x00\x14")
	rest := make([]byte, formatSize+4+len("vm"))
	if _, err := io.ReadFull(k, rest); err != nil {
		k.t.Fatal(err)
	}
	k.say("\x03\x00\x00\x00\x00\x00\x00\x14\x00\x14")
	k.gives("\x00\x00\x00\x01\x00\x00\x00\x00\x00\x14\x00\x14\x00\x00\x00\x00" + strings.Repeat("\x00\x00\x00\xff", 20*20))
}

func plain(name, password string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(name)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(password)))
	return string(b) + name + password
}

func TestTLS(t *testing.T) {
	s, at, folder := secure(t, "a long password")
	t.Run("VNC", func(t *testing.T) {
		k := call(t, at)
		k.agree("\x00\x02\x00\x00\x01\x05\x00\x00\x01\x06", "\x00\x00\x01\x05")
		k = k.encrypted(folder)
		var challenge, answer [16]byte
		if _, err := io.ReadFull(k, challenge[:]); err != nil {
			t.Fatal(err)
		}
		if err := respond(answer[:], challenge[:], "a long password"); err != nil {
			t.Fatal(err)
		}
		k.say(string(answer[:]))
		k.gives("\x00\x00\x00\x00")
		k.looks()
	})
	t.Run("plain", func(t *testing.T) {
		k := call(t, at)
		k.agree(offered, "\x00\x00\x01\x06")
		k = k.encrypted(folder)
		k.say(plain("anybody", "a long password"))
		k.gives("\x00\x00\x00\x00")
		k.looks()
	})
	for name, wrong := range map[string]string{"first 8 bytes": "a long p", "none": "", "another": "a long Password"} {
		t.Run("wrong password/"+name, func(t *testing.T) {
			t.Parallel() // a wrong password costs a second
			k := call(t, at)
			k.agree(offered, "\x00\x00\x01\x06")
			k = k.encrypted(folder)
			k.say(plain("", wrong))
			k.gives("\x00\x00\x00\x01\x00\x00\x00\x0e" + errPassword.Error())
		})
	}
	t.Run("none", func(t *testing.T) {
		_, at, folder := secure(t, "")
		k := call(t, at)
		k.agree("\x00\x01\x00\x00\x01\x04", "\x00\x00\x01\x04")
		k = k.encrypted(folder)
		k.gives("\x00\x00\x00\x00")
		k.looks()
	})
	t.Run("page", func(t *testing.T) { // whose viewers come another way
		near, far := net.Pipe()
		defer near.Close()
		go s.Serve(far, "")
		k := &talk{near, t}
		k.gives("RFB 003.008\n")
		k.say("RFB 003.008\n")
		k.gives("\x01\x01")
	})
}

// TestTLSRefuses talks otherwise than a viewer that encrypts: it gets no further.
func TestTLSRefuses(t *testing.T) {
	_, at, folder := secure(t, "secret")
	gone := func(k *talk) {
		k.t.Helper()
		if n, err := k.Read(make([]byte, 1)); err == nil || n != 0 {
			k.t.Errorf("the server goes on: %d, %v", n, err)
		}
	}
	for name, talk := range map[string]func(*talk){
		"3.3": func(k *talk) {
			k.gives("RFB 003.008\n")
			k.say("RFB 003.003\n")
			k.gives("\x00\x00\x00\x00\x00\x00\x00" + string(rune(len(errNoTLS.Error()))) + errNoTLS.Error())
		},
		"unencrypted": func(k *talk) {
			k.gives("RFB 003.008\n")
			k.say("RFB 003.008\n")
			k.gives("\x01\x13")
			k.say("\x02")
		},
		"version": func(k *talk) {
			k.gives("RFB 003.008\n")
			k.say("RFB 003.008\n")
			k.gives("\x01\x13")
			k.say("\x13")
			k.gives("\x00\x02")
			k.say("\x00\x01")
			k.gives("\x01")
		},
		"subtype": func(k *talk) {
			k.gives("RFB 003.008\n")
			k.say("RFB 003.008\n")
			k.gives("\x01\x13")
			k.say("\x13")
			k.gives("\x00\x02")
			k.say("\x00\x02")
			k.gives(offered)
			k.say("\x00\x00\x01\x04") // X509None
			k.gives("\x00")
		},
		"no TLS": func(k *talk) {
			k.agree(offered, "\x00\x00\x01\x06")
			k.say("hello, this is no handshake of TLS at all")
			_, _ = io.CopyN(io.Discard, k, 7) // an alert
		},
		"long password": func(k *talk) {
			k.agree(offered, "\x00\x00\x01\x06")
			*k = *k.encrypted(folder)
			k.say("\x00\x00\x00\x01\xff\xff\xff\xff")
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := call(t, at)
			talk(k)
			gone(k)
		})
	}
}

func TestCertificate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	one, err := Certificate(folder)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Certificate(folder)
	if err != nil || Fingerprint(one) != Fingerprint(two) {
		t.Errorf("the certificate is not kept: %v", err)
	}
	if f := Fingerprint(one); len(f) != 95 || strings.Count(f, ":") != 31 {
		t.Errorf("fingerprint %q", f)
	}
	for name, mode := range map[string]os.FileMode{keyFile: 0o600, CertificateFile: 0o644} {
		st, err := os.Stat(filepath.Join(folder, name))
		if err != nil || st.Mode() != mode {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(folder, CertificateFile)); err != nil || strings.Contains(string(b), "PRIVATE") {
		t.Errorf("%v", err)
	}
	other, err := Certificate(t.TempDir())
	if err != nil || Fingerprint(one) == Fingerprint(other) {
		t.Errorf("two users have one certificate: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, keyFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Certificate(folder); err == nil || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("a damaged file: %v", err)
	}
}
