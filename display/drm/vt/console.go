package vt

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Requests and values (include/uapi/linux/vt.h and kd.h).
const (
	vtOpenQry  = 0x5600
	vtSetMode  = 0x5602
	vtGetState = 0x5603
	vtRelDisp  = 0x5605
	vtActivate = 0x5606

	vtAuto    = 0
	vtProcess = 1
	vtAckAcq  = 2

	kdSetMode   = 0x4b3a
	kdGetMode   = 0x4b3b
	kdGetKbMode = 0x4b44
	kdSetKbMode = 0x4b45

	kdText     = 0
	kdGraphics = 1

	kbRaw       = 0
	kbMediumRaw = 2
	kbUnicode   = 3
	kbOff       = 4

	maxTerminal = 63
	ttyMajor    = 4
)

// The signals by which the kernel asks for the terminal, and gives it.
const (
	releaseSignal = unix.SIGUSR1
	acquireSignal = unix.SIGUSR2
)

// ErrNone is returned where the host has no virtual terminals, as one whose console is a serial line.
var ErrNone = errors.New("this host has no virtual terminals")

// console is a terminal as the kernel has it.
type console interface {
	active() (int, error) // the terminal that is on the screen
	keyboard() (int, error)
	setKeyboard(mode int) error
	setGraphics(on bool) error
	// setProcess has the kernel ask this process before it switches to another terminal.
	setProcess(on bool) error
	reply(arg int) error
	activate(n int) error
	// reopen is for after the terminal was hung up.
	reopen() error
}

// tty is the kernel's console number n.
type tty struct {
	n int
	f *os.File
}

func path(n int) string { return fmt.Sprintf("/dev/tty%d", n) }

func openTTY(n int) (*tty, error) {
	f, err := os.OpenFile(path(n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &tty{n, f}, nil
}

func (t *tty) fd() int { return int(t.f.Fd()) }

func (t *tty) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", path(t.n), what, err)
}

func (t *tty) active() (int, error) {
	n, err := activeTerminal(t.fd())
	return n, t.wrap("ask which terminal is active", err)
}

func (t *tty) keyboard() (int, error) {
	n, err := unix.IoctlGetInt(t.fd(), kdGetKbMode)
	return n, t.wrap("ask for the keyboard's mode", err)
}

func (t *tty) setKeyboard(mode int) error {
	return t.wrap("set the keyboard's mode", unix.IoctlSetInt(t.fd(), kdSetKbMode, mode))
}

func (t *tty) setGraphics(on bool) error {
	mode := kdText
	if on {
		mode = kdGraphics
	}
	return t.wrap("set the screen's mode", unix.IoctlSetInt(t.fd(), kdSetMode, mode))
}

func (t *tty) setProcess(on bool) error {
	return t.wrap("set who switches terminals", setMode(t.fd(), on))
}

func (t *tty) reply(arg int) error {
	return t.wrap("answer a switch of terminals", unix.IoctlSetInt(t.fd(), vtRelDisp, arg))
}

func (t *tty) activate(n int) error {
	return t.wrap(fmt.Sprintf("switch to terminal %d", n), unix.IoctlSetInt(t.fd(), vtActivate, n))
}

// reopen opens the terminal anew, as its controlling process: the one that was it has died, and the kernel has hung up on the others.
func (t *tty) reopen() error {
	_, _ = unix.Setsid() // fails for one that leads a session already
	f, err := os.OpenFile(path(t.n), os.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.f.Close()
	t.f = f
	return nil
}

// find chooses a terminal: the one that standard input is, or else one that nobody uses.
func find() (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(0, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Major(st.Rdev) == ttyMajor {
		if n := int(unix.Minor(st.Rdev)); n >= 1 && n <= maxTerminal {
			return n, nil
		}
	}
	f, err := os.OpenFile(path(0), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) {
		return 0, ErrNone
	}
	if err != nil {
		return 0, fmt.Errorf("%w; start it on the console itself, as root, or by a systemd unit with TTYPath= and StandardInput=tty", err)
	}
	defer f.Close()
	n, err := unix.IoctlGetInt(int(f.Fd()), vtOpenQry)
	if err != nil {
		return 0, fmt.Errorf("find a free terminal: %w", err)
	}
	if n < 1 || n > maxTerminal {
		return 0, errors.New("find a free terminal: all are in use")
	}
	return n, nil
}
