package agent

import (
	"fmt"
	"os"

	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal like the host's. When the host's own terminal stays in charge of the output, because no
// keys are read from it, this one must leave the output alone.
func openTerminal(t *wire.Terminal) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a pseudo terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "pty master")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("opening a pseudo terminal: %w", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a pseudo terminal: %w", err)
	}
	modes := t.Modes
	if !t.On[wire.Stdin] {
		modes.Oflag &^= unix.OPOST
	}
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &modes); err != nil {
		return nil, nil, fmt.Errorf("setting the modes of the pseudo terminal: %w", err)
	}
	resize(master, t.Size)
	return master, slave, nil
}

// resize tells the terminal's programs its new size. A size that the terminal refuses changes nothing.
func resize(master *os.File, s wire.Size) {
	_ = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Cols})
}
