package vnc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Names of the files in a folder with a certificate.
const (
	// keyFile holds certificate and key.
	keyFile = "vnc-key.pem"
	// CertificateFile holds the certificate alone, for viewers to check it by.
	CertificateFile = "vnc-cert.pem"
)

// certificateLife is how long a certificate is good for.
const certificateLife = 10 * 365 * 24 * time.Hour

// Certificate returns the certificate that folder keeps, which is made together with the folder when it is asked for first. It vouches for itself: people compare its
// fingerprint, or hand CertificateFile to their viewers.
func Certificate(folder string) (*tls.Certificate, error) {
	path := filepath.Join(folder, keyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if b, err = makeCertificate(folder); err == nil {
			err = keep(path, b, 0o600)
		}
		if errors.Is(err, fs.ErrExist) { // somebody else was first
			err = nil
		}
		if err == nil {
			b, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("the certificate of VNC: %w", err)
	}
	cert, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, fmt.Errorf("the certificate of VNC in %s: %w", path, err)
	}
	if end := cert.Leaf.NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("the certificate of VNC in %s is out of date since %s: remove %s and %s, and a new one is made", path, end.Format(time.DateOnly), keyFile, CertificateFile)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	shown := filepath.Join(folder, CertificateFile)
	if old, err := os.ReadFile(shown); err != nil || !bytes.Equal(old, public) {
		_ = os.Remove(shown)
		if err := keep(shown, public, 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("the certificate of VNC: %w", err)
		}
	}
	return &cert, nil
}

// Fingerprint is what people compare: the certificate's SHA-256.
func Fingerprint(c *tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// makeCertificate makes the folder, and a certificate with its key for this host.
func makeCertificate(folder string) ([]byte, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "vmm"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if host, err := os.Hostname(); err == nil && host != "" && host != "localhost" {
		c.Subject.CommonName, c.DNSNames = "vmm on "+host, append(c.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), nil
}

// keep makes a file that is never seen half written. It fails where there is one.
func keep(path string, b []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".vnc-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
