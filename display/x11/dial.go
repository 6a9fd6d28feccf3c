package x11

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// address is what the name of a display says: [HOST]:NUMBER[.SCREEN].
type address struct {
	network, at string
	number      string
	screen      int
}

var errNoDisplay = errors.New("no X server is known: $DISPLAY is not set, as in a text console or over ssh without -X")

// maxDisplay bounds the number of a display, whose TCP port is 6000 more.
const maxDisplay = 65535 - 6000

func parseDisplay(name string) (address, error) {
	if name == "" {
		return address{}, errNoDisplay
	}
	bad := fmt.Errorf("%q is not the name of an X display, as :0 is", name)
	colon := strings.LastIndexByte(name, ':')
	if colon < 0 {
		return address{}, bad
	}
	host, rest := name[:colon], name[colon+1:]
	number, screen, hasScreen := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n > maxDisplay {
		return address{}, bad
	}
	a := address{number: number}
	if hasScreen {
		s, err := strconv.ParseUint(screen, 10, 8)
		if err != nil {
			return address{}, bad
		}
		a.screen = int(s)
	}
	switch {
	case host == "" || host == "unix":
		a.network, a.at = "unix", "/tmp/.X11-unix/X"+number
	case host[0] == '/':
		a.network, a.at = "unix", host+":"+number
	default:
		a.network, a.at = "tcp", net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(6000+int(n)))
	}
	return a, nil
}

// dial connects to the display, by the abstract socket if the one in the file system is not there.
func (a address) dial() (net.Conn, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.Dial(a.network, a.at)
	if err != nil && a.network == "unix" {
		if conn, err2 := d.Dial("unix", "@"+a.at); err2 == nil {
			return conn, nil
		}
	}
	return conn, err
}

// hello is a client's first message (X11, section 8): byte order, version, and the cookie that proves that it may connect.
func (a address) hello() []byte {
	name, data := a.cookie()
	b := []byte{'l', 0, 11, 0, 0, 0}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, 0, 0)
	b = append(append(b, name...), make([]byte, pad(len(name)))...)
	return append(append(b, data...), make([]byte, pad(len(data)))...)
}

// pad is how many bytes n bytes are short of a multiple of 4.
func pad(n int) int { return -n & 3 }

const (
	magicCookie   = "MIT-MAGIC-COOKIE-1"
	familyLocal   = 256 // this host, by its name
	familyWild    = 65535
	maxXauthority = 1 << 20
)

// cookie finds what the user's Xauthority file says for the display (Xauth(3)); nothing where it says nothing.
func (a address) cookie() (name, data string) {
	file := os.Getenv("XAUTHORITY")
	if file == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", ""
		}
		file = filepath.Join(home, ".Xauthority")
	}
	if st, err := os.Stat(file); err != nil || st.Size() > maxXauthority {
		return "", ""
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", ""
	}
	host, _ := os.Hostname()
	return findCookie(b, host, a.number)
}

func findCookie(b []byte, host, number string) (name, data string) {
	field := func() (string, bool) {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return "", false
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		s := string(b[2:n])
		b = b[n:]
		return s, true
	}
	for len(b) >= 2 {
		family := binary.BigEndian.Uint16(b)
		b = b[2:]
		var f [4]string // address, number, name, data
		for i := range f {
			var ok bool
			if f[i], ok = field(); !ok {
				return "", ""
			}
		}
		ours := family == familyWild || family == familyLocal && f[0] == host
		if ours && (f[1] == "" || f[1] == number) && f[2] == magicCookie {
			return f[2], f[3]
		}
	}
	return "", ""
}

// patience is how long the server may take to accept or to answer something.
var patience = 10 * time.Second
