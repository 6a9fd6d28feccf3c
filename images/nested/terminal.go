package nested

import (
	"os"

	"github.com/sharevm/vmm/images/nested/wire"
	"golang.org/x/sys/unix"
)

// terminal describes the host's terminal, or is nil when the streams are to be pipes in the guest. Keys without anything to echo them
// to, as in `vmm nested -- cmd >file 2>&1`, are read as lines by the host's terminal itself.
func terminal(stdin, stdout, stderr *os.File) *wire.Terminal {
	t := &wire.Terminal{}
	var shown *os.File
	for i, f := range []*os.File{stdin, stdout, stderr} {
		modes, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		if err != nil {
			continue
		}
		t.On[i] = true
		t.Modes = *modes
		if i != wire.Stdin {
			shown = f
		}
	}
	if shown == nil {
		return nil
	}
	t.Size = size(shown)
	return t
}

// size of a terminal; zero when it has none.
func size(f *os.File) wire.Size {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return wire.Size{}
	}
	return wire.Size{Rows: ws.Row, Cols: ws.Col}
}
