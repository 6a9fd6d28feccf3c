package smbios

import (
	"fmt"
	"strings"

	"github.com/sharevm/vmm/boot/layout"
)

// Bounds of a Config.
const (
	MaxString  = 128 // bytes of one name
	MaxSockets = 255
)

// Config says what the structures report. Empty strings are reported as not given.
type Config struct {
	Layout layout.Layout

	BIOSVendor, BIOSVersion string
	BIOSDate                string // mm/dd/yyyy

	Manufacturer, Product, Version string
	Serial, SKU, Family            string
	// UUID is the bytes as they stand in the system information structure. Most guests print the first three groups of it
	// in reverse (section 7.2.1); VMware's uuid.bios is these bytes in this order.
	UUID [16]byte

	BoardManufacturer, BoardProduct string
	AssetTag                        string

	Sockets        int // 1 to MaxSockets
	CoresPerSocket int // 1 or more
	CPUVendor      string
	CPUModel       string
}

// check refuses what a structure cannot hold. The strings may come from a machine's configuration file.
func (c *Config) check() error {
	if c.Sockets < 1 || c.Sockets > MaxSockets || c.CoresPerSocket < 1 || c.CoresPerSocket > 0xFFFF {
		return fmt.Errorf("smbios: %d processors of %d cores", c.Sockets, c.CoresPerSocket)
	}
	for name, s := range map[string]string{
		"BIOS vendor": c.BIOSVendor, "BIOS version": c.BIOSVersion, "BIOS date": c.BIOSDate,
		"manufacturer": c.Manufacturer, "product": c.Product, "version": c.Version,
		"serial number": c.Serial, "SKU": c.SKU, "family": c.Family,
		"board manufacturer": c.BoardManufacturer, "board product": c.BoardProduct, "asset tag": c.AssetTag,
		"CPU vendor": c.CPUVendor, "CPU model": c.CPUModel,
	} {
		if len(s) > MaxString {
			return fmt.Errorf("smbios: %s has %d bytes, at most %d are allowed", name, len(s), MaxString)
		}
		if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			return fmt.Errorf("smbios: %s %q holds a character other than printable ASCII", name, s)
		}
	}
	return nil
}
