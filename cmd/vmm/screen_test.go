package main

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/vnc"
	"github.com/sharevm/vmm/display/web"
)

func TestListenAddress(t *testing.T) {
	for s, want := range map[string]string{
		"5901": "127.0.0.1:5901", ":5901": "127.0.0.1:5901", "0.0.0.0": "0.0.0.0:5900", "192.0.2.1:1": "192.0.2.1:1", "[::1]:7": "[::1]:7", "::1": "[::1]:5900", "[::1]": "[::1]:5900",
		"localhost": "", "70000": "", "1.2.3.4:x": "", "": "",
	} {
		at, err := listenAddress(s, defaultVNC)
		if (err == nil) != (want != "") || err == nil && at.String() != want {
			t.Errorf("%q: %v, %v; want %q", s, at, err, want)
		}
	}
}

func TestScreenFlags(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		fl   screenFlags
		want string // of the error
	}{
		{screenFlags{vnc: "5901", web: "5801"}, ""},
		{screenFlags{vnc: "0.0.0.0", password: password}, ""},
		{screenFlags{vnc: "0.0.0.0"}, "without a password"},
		{screenFlags{vnc: "0.0.0.0", tls: true}, "without a password"},
		{screenFlags{vnc: "0.0.0.0", tls: true, password: password}, ""},
		{screenFlags{tls: true}, "--vnc-tls"},
		{screenFlags{vnc: "5900", jpeg: 101}, "--vnc-jpeg"},
		{screenFlags{vnc: "here"}, "--vnc"},
		{screenFlags{password: password + "x"}, "--vnc-password"},
		{screenFlags{web: "0.0.0.0"}, "ssh -L"},
		{screenFlags{web: "x"}, "--web"},
	} {
		cfg := config.New("vm")
		err := test.fl.override(cfg)
		if err == nil {
			err = cfg.Validate()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.fl, err, test.want)
		}
		if v := cfg.Display.VNC; err == nil && (!v.Enabled || test.fl.password != "" && v.Password != "secret") {
			t.Errorf("%+v: %+v", test.fl, v)
		}
		if (test.fl.cert != nil) != (err == nil && test.fl.tls) && test.want == "" {
			t.Errorf("%+v: no certificate", test.fl)
		}
	}
	fast := config.New("vm")
	fast.SetKernel("/k", "", "")
	if err := (&screenFlags{vnc: "5900"}).override(fast); err == nil || !strings.Contains(err.Error(), "no graphics card") {
		t.Error(err)
	}
}

// TestPortInUse has a second one listen at an address: what to do is said in one line.
func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	_, err = web.Listen(at, web.Config{VNC: vnc.New(vnc.Config{})})
	if err = notListening("--web", at, err); !strings.Contains(err.Error(), at.String()+" is in use") || !strings.Contains(err.Error(), "--web=PORT") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}
