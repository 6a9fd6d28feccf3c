package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/display/vnc"
	"github.com/sharevm/vmm/display/web"
	"github.com/sharevm/vmm/display/x11"
	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/machine"
)

// Where the screen is shown if nothing else is said.
const (
	defaultVNC = "127.0.0.1:5900"
	defaultWeb = "127.0.0.1:5800"
)

// screenFlags are the options of vmm run about who sees the machine's screen.
type screenFlags struct {
	vnc      string
	password string // file
	tls      bool
	cert     *tls.Certificate // with tls
	jpeg     int
	web      string
	at       netip.AddrPort // of web
	window   bool
	full     bool
	own      string // output of this computer; firstOutput for any
	locked   bool   // own leaves no way to the host's terminals
}

// firstOutput is --screen without a name.
const firstOutput = "first"

func (fl *screenFlags) add(f *pflag.FlagSet) {
	f.StringVar(&fl.vnc, "vnc", "", "show the screen to VNC viewers at `[ADDRESS:]PORT` ("+defaultVNC+"); a password is needed where others can connect")
	f.Lookup("vnc").NoOptDefVal = defaultVNC
	f.StringVar(&fl.password, "vnc-password", "", "`FILE` whose first line is the password for VNC viewers")
	f.IntVar(&fl.jpeg, "vnc-jpeg", 0, "`QUALITY`, 1 to 100, in which VNC viewers and browsers on slow networks get areas of many colours; 0 shows all exactly")
	f.BoolVar(&fl.tls, "vnc-tls", false, "encrypt VNC, by a certificate of this user whose fingerprint is printed; viewers that cannot (VeNCrypt, X509) are refused")
	f.StringVar(&fl.web, "web", "", "show the screen to browsers of this host at `[ADDRESS:]PORT` ("+defaultWeb+")")
	f.Lookup("web").NoOptDefVal = defaultWeb
	f.BoolVar(&fl.window, "window", false, "show the screen in a window of $DISPLAY; closing it presses the power button, closing it again powers off")
	f.BoolVar(&fl.full, "fullscreen", false, "show the screen on all of $DISPLAY; Ctrl+Alt+Enter switches to a window and back")
	f.StringVar(&fl.own, "screen", "", "show the screen on this computer's own, where no desktop runs: on its first monitor, or on `OUTPUT` (HDMI-A-1, card1)")
	f.Lookup("screen").NoOptDefVal = firstOutput
}

// listenAddress reads [ADDRESS:]PORT or ADDRESS, where what is left out is that of def.
func listenAddress(s, def string) (netip.AddrPort, error) {
	at := netip.MustParseAddrPort(def)
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(addr, at.Port()), nil
	}
	if port, err := strconv.ParseUint(strings.TrimPrefix(s, ":"), 10, 16); err == nil {
		return netip.AddrPortFrom(at.Addr(), uint16(port)), nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil {
		return at, fmt.Errorf("%q: want [ADDRESS:]PORT or ADDRESS, with numbers", s)
	}
	return at, nil
}

// override applies --vnc and --web.
func (fl *screenFlags) override(cfg *config.Machine) error {
	if err := fl.apply(&cfg.Display.VNC); err != nil {
		return err
	}
	if (fl.vnc != "" || fl.web != "" || fl.windowed() || fl.own != "") && cfg.DisplayAdapter() == config.DisplayNone {
		return errors.New("--vnc, --web, --window, --fullscreen and --screen: the machine has no graphics card (vmm.display = \"virtio\" in its .vmx)")
	}
	return nil
}

// apply puts what the flags say of VNC into v, and keeps what they say of the page.
func (fl *screenFlags) apply(v *config.VNC) error {
	if fl.vnc != "" {
		at, err := listenAddress(fl.vnc, defaultVNC)
		if err != nil {
			return fmt.Errorf("--vnc %w", err)
		}
		v.Enabled, v.Address, v.Port = true, at.Addr().String(), int(at.Port())
	}
	if fl.password != "" {
		b, err := os.ReadFile(fl.password)
		if err != nil {
			return fmt.Errorf("--vnc-password: %w", err)
		}
		v.Password, _, _ = strings.Cut(string(b), "\n")
	}
	if fl.jpeg < 0 || fl.jpeg > 100 {
		return fmt.Errorf("--vnc-jpeg %d: want 1 to 100, or 0", fl.jpeg)
	}
	if fl.tls {
		if !v.Enabled {
			return errors.New("--vnc-tls: there is no VNC to encrypt (--vnc)")
		}
		if err := fl.loadCertificate(); err != nil {
			return err
		}
	}
	if fl.web != "" {
		at, err := listenAddress(fl.web, defaultWeb)
		if err != nil {
			return fmt.Errorf("--web %w", err)
		}
		if !at.Addr().IsLoopback() {
			return fmt.Errorf("--web %s: %w", fl.web, web.ErrOpen)
		}
		fl.at = at
	}
	return nil
}

// loadCertificate finds the user's certificate, or makes one.
func (fl *screenFlags) loadCertificate() error {
	folder, err := certificateFolder()
	if err == nil {
		fl.cert, err = vnc.Certificate(folder)
	}
	if err != nil {
		return fmt.Errorf("--vnc-tls: %w", err)
	}
	return nil
}

// certificateFolder is where the user's certificate is kept.
func certificateFolder() (string, error) {
	config, err := os.UserConfigDir()
	return filepath.Join(config, "vmm"), err
}

// somewhere says whether the screen is shown at all.
func (fl *screenFlags) somewhere(v config.VNC) bool {
	return v.Enabled || fl.web != "" || fl.windowed() || fl.own != ""
}

func (fl *screenFlags) windowed() bool { return fl.window || fl.full }

// lead has the nested host lead to the screen of a machine in it, or, for a window, to this host's X server.
func (fl *screenFlags) lead(c *nested.Config, v config.VNC) (err error) {
	to := func(option string, port uint16) error {
		f := nested.Forward{Host: port, Guest: port}
		c.Publish = append(c.Publish, f)
		if err := f.Free(); err != nil {
			return notListening(option, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), err)
		}
		return nil
	}
	if v.Enabled {
		if err := to("--vnc", uint16(v.Port)); err != nil {
			return err
		}
	}
	if fl.web != "" {
		if err := to("--web", fl.at.Port()); err != nil {
			return err
		}
	}
	if !fl.windowed() {
		return nil
	}
	if err := x11.Try(""); err != nil { // in the nested host there is only a connection that ends
		return fmt.Errorf("--window: %w", err)
	}
	c.X11, err = toDisplay()
	return err
}

// serve shows the machine's first screen where the configuration and the command line say; closed is called when the user closes its window, and must not
// block. It has to be called before the sandbox is entered.
func (fl *screenFlags) serve(m *machine.Machine, cfg *config.Machine, closed func(), messages io.Writer, log *slog.Logger) (stop func(), err error) {
	if len(m.Screens()) == 0 {
		return func() {}, nil
	}
	fl.full = fl.full || cfg.Display.FullScreen && fl.window
	return fl.show(m.Frontend(0), cfg.Display.VNC, closed, messages, log)
}

// sayHowSafe tells by what viewers know this server, or that others can look on.
func (fl *screenFlags) sayHowSafe(at netip.AddrPort, messages io.Writer) {
	switch {
	case fl.cert != nil:
		folder, _ := certificateFolder() // it was found before
		fmt.Fprintf(messages, "vmm: VNC is encrypted; the certificate is %s, its SHA-256 %s\n", filepath.Join(folder, vnc.CertificateFile), vnc.Fingerprint(fl.cert))
	case !at.Addr().IsLoopback():
		fmt.Fprintln(messages, "vmm: VNC is not encrypted: who is between viewer and host sees and types; --vnc-tls encrypts")
	}
}

// notListening says why viewers cannot connect at an address.
func notListening(option string, at netip.AddrPort, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is in use, by another machine, session or program: choose another port, %s=PORT", option, at, option)
	}
	return fmt.Errorf("%s: %w", option, err)
}

// show is serve for any screen.
func (fl *screenFlags) show(screen frontend.Machine, v config.VNC, closed func(), messages io.Writer, log *slog.Logger) (stop func(), err error) {
	if !fl.somewhere(v) {
		return func() {}, nil
	}
	forwarded := os.Getenv(nestedStart) != ""
	within := func(at netip.AddrPort) netip.AddrPort {
		if forwarded { // at the nested host's network card, which nobody else reaches
			return netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())
		}
		return at
	}
	s := vnc.New(vnc.Config{Machine: screen, Password: v.Password, Certificate: fl.cert, JPEG: fl.jpeg, Forwarded: forwarded, Log: log})
	closers := []io.Closer{s}
	stop = func() {
		for _, c := range closers {
			_ = c.Close()
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if fl.windowed() {
		w, err := x11.Open(x11.Config{Machine: screen, FullScreen: fl.full, Closed: closed, Log: log})
		if err != nil {
			return nil, fmt.Errorf("--window: %w", err)
		}
		closers = append(closers, w)
	}
	if fl.own != "" {
		d, err := fl.openOwn(screen, closed, log)
		if err != nil {
			return nil, fmt.Errorf("--screen: %w", err)
		}
		closers = append(closers, d)
	}
	if v.Enabled {
		addr, err := netip.ParseAddr(v.Address)
		if err != nil {
			return nil, err
		}
		at := netip.AddrPortFrom(addr, uint16(v.Port))
		listens, err := s.Listen(within(at))
		if err != nil {
			return nil, notListening("--vnc", at, err)
		}
		if at.Port() == 0 || !forwarded {
			at = listens
		}
		fmt.Fprintf(messages, "vmm: the screen is shown by VNC at %s\n", at)
		fl.sayHowSafe(at, messages)
	}
	if fl.web != "" {
		page, err := web.Listen(within(fl.at), web.Config{VNC: s, Forwarded: forwarded, Log: log})
		if err != nil {
			return nil, notListening("--web", fl.at, err)
		}
		closers = append(closers, page)
		fmt.Fprintf(messages, "vmm: the screen is shown in a browser at %s\n", page.URL())
	}
	return stop, nil
}
