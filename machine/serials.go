package machine

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/boot/layout"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/serial"
)

// maxSerialFile is how much a guest may write by a serial port to a file in one run, in bytes: it must not fill its host's disk.
const maxSerialFile = 64 << 20

// serialFile takes what a guest sends by a serial port, up to maxSerialFile, and drops the rest.
type serialFile struct {
	*os.File
	name string
	left atomic.Int64
	log  *slog.Logger
}

// Write implements io.Writer.
func (f *serialFile) Write(p []byte) (int, error) {
	left := f.left.Add(-int64(len(p)))
	if left >= 0 {
		return f.File.Write(p)
	}
	if left+int64(len(p)) >= 0 {
		f.log.Warn("the file of a serial port takes no more", "port", f.name, "file", f.Name(), "MiB", maxSerialFile>>20)
	}
	f.left.Store(-1) // it goes no lower
	return len(p), nil
}

// openSerials opens the files that serial ports lead to; a machine that shall forget what it writes has none. Ports that lead elsewhere are there, and nothing is behind them.
func (m *Machine) openSerials() error {
	for i := range m.cfg.Serials {
		s := &m.cfg.Serials[i]
		name := fmt.Sprintf("serial%d", s.Index)
		switch {
		case !s.Connected || s.Kind == config.SerialConsole || s.Kind == config.SerialNull:
		case s.Kind != config.SerialFile:
			m.log.Warn("the serial port leads nowhere: only files and this terminal can stand behind one", "port", name, "wanted", string(s.Kind))
		case m.opt.Discard || m.cfg.Run.Overlay == config.OverlayDisposable:
		default:
			f, err := os.OpenFile(s.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
			if err != nil {
				return fmt.Errorf("%s: %w: correct %s.fileName", name, err, name)
			}
			out := &serialFile{File: f, name: name, log: m.log}
			out.left.Store(maxSerialFile)
			m.serials[s.Index] = out
		}
	}
	return nil
}

func (b *board) addSerials() error {
	for i := range b.m.cfg.Serials {
		s := &b.m.cfg.Serials[i]
		c := serial.Config{Line: b.vm.Line(int(layout.SerialGSIs[s.Index])), Log: b.m.log}
		if s.Kind == config.SerialConsole {
			end := b.m.console.attach(false)
			b.closers = append(b.closers, end)
			c.Input, c.Output = end, end
		} else if f := b.m.serials[s.Index]; f != nil {
			c.Output = f
		}
		u := serial.New(c)
		b.closers = append(b.closers, closeFunc(u.Close))
		b.devices = append(b.devices, u)
		if err := b.vm.Ports.Map(uint64(layout.SerialPorts[s.Index]), serial.Size, u); err != nil {
			return err
		}
	}
	return nil
}
