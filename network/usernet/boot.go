package usernet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Boot is what a guest is told that boots from the network.
type Boot struct {
	// Folder is served by TFTP at the gateway's address; see tftp.OpenFolder. Empty: there is no such server.
	Folder string
	// File is what to load: the name of a file in Folder, or a URL for programs that know what to do with one. At most 127 bytes; empty names none.
	File string
	// Script is what iPXE is told instead of File: firmware loads iPXE by the one, and iPXE goes on with the other.
	Script string
}

// maxBootFile is what fits into the message's own field for it (RFC 2131, section 2).
const maxBootFile = 127

func (b Boot) check() error {
	for _, f := range []string{b.File, b.Script} {
		if len(f) > maxBootFile || strings.ContainsFunc(f, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("user network: boot file %q: want at most %d printable ASCII characters", f, maxBootFile)
		}
	}
	return nil
}

// fileFor is what the client of a DHCP message is to load.
func (b Boot) fileFor(req *dhcpv4.DHCPv4) string {
	if b.Script != "" && slices.Contains(req.UserClass(), "iPXE") {
		return b.Script
	}
	return b.File
}

// setBoot tells a client what to load, and from whom: in the fields of BOOTP, and as options where it asks for them.
func (n *Network) setBoot(req, reply *dhcpv4.DHCPv4) {
	file := n.cfg.Boot.fileFor(req)
	if file == "" {
		return
	}
	reply.BootFileName = file
	reply.ServerIPAddr = n.cfg.Gateway.AsSlice()
	if req.IsOptionRequested(dhcpv4.OptionTFTPServerName) {
		reply.UpdateOption(dhcpv4.OptTFTPServerName(n.cfg.Gateway.String()))
	}
	if req.IsOptionRequested(dhcpv4.OptionBootfileName) {
		reply.UpdateOption(dhcpv4.OptBootFileName(file))
	}
}
