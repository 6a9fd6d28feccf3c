package machine

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"

	"github.com/sharevm/vmm/config"
)

// maxAuthorities is how many bytes of certificates a machine may bring along.
const maxAuthorities = 1 << 20

// readAuthorities reads a file with certificates, and returns these alone.
func readAuthorities(path string) ([]byte, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("vmm.kiosk.ca: %w", err)
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, maxAuthorities+1))
	if err != nil {
		return nil, fmt.Errorf("vmm.kiosk.ca: %w", err)
	}
	if len(rest) > maxAuthorities {
		return nil, fmt.Errorf("vmm.kiosk.ca: %s has more than %d KiB", path, maxAuthorities>>10)
	}
	var all []byte
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" { // a key, perhaps, which is nobody's business
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("vmm.kiosk.ca: %s: %w", path, err)
		}
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if all == nil {
		return nil, fmt.Errorf("vmm.kiosk.ca: %s holds no certificate (PEM)", path)
	}
	return all, nil
}

// archiveAlign is where the kernel looks for one archive of an initramfs behind another, in bytes.
const archiveAlign = 4

// authoritiesArchive is an archive of one file, for the end of the guest's initramfs (cpio "newc": Documentation/driver-api/early-userspace/buffer-format.rst in the kernel).
func authoritiesArchive(authorities []byte) []byte {
	var b bytes.Buffer
	entry := func(name string, mode int, data []byte) {
		const inode, links = 1, 1
		// magic, inode, mode, user, group, links, time, size, four numbers of devices, size of the name, checksum
		fmt.Fprintf(&b, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00", inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
		b.Write(make([]byte, -b.Len()&(archiveAlign-1)))
		b.Write(data)
		b.Write(make([]byte, -b.Len()&(archiveAlign-1)))
	}
	const regular = 0o100444
	entry(config.KioskAuthorities, regular, authorities)
	entry("TRAILER!!!", 0, nil)
	return b.Bytes()
}
