package config

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// UUID is a 128-bit identifier in the order of its digits. VMware's uuid.bios holds the bytes as they stand in the SMBIOS table, and
// so does our table, since licences hang on them; tools that follow SMBIOS 2.6 (section 7.2.1 of 3.7) print the first three
// fields of them in reverse.
type UUID [16]byte

// IsZero reports whether the UUID is unset.
func (u UUID) IsZero() bool { return u == UUID{} }

// String is the 8-4-4-4-12 spelling.
func (u UUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// MarshalText is String.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is [ParseUUID].
func (u *UUID) UnmarshalText(text []byte) error {
	v, err := ParseUUID(string(text))
	*u = v
	return err
}

// ParseUUID reads 32 hexadecimal digits, ignoring spaces and dashes: the common spelling and VMware's
// ("56 4d 1c 2e f8 ...-..."), whose digits stand in the same order.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	digits := strings.NewReplacer(" ", "", "-", "").Replace(s)
	if len(digits) != 32 {
		return UUID{}, fmt.Errorf("%q is not a UUID (want 32 hexadecimal digits)", s)
	}
	if _, err := hex.Decode(u[:], []byte(digits)); err != nil {
		return UUID{}, fmt.Errorf("%q is not a UUID (want 32 hexadecimal digits)", s)
	}
	return u, nil
}
