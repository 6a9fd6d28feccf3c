package control

import (
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/sharevm/vmm/internal/spool"
)

const (
	// consoleProtocol is what a connection is upgraded to (RFC 9110, section 7.8): what the guest prints one way, what is typed the other.
	consoleProtocol = "vmm-console"
	// maxConsoles is how many clients may be attached at once.
	maxConsoles = 4
	// maxLog bounds what is answered of a journal, in bytes.
	maxLog = 1 << 20
	// someLog is how much is answered where nothing else is asked for.
	someLog = 64 << 10
)

// ConsoleSize is the size of the terminal that shows a console, in characters.
type ConsoleSize struct {
	Columns uint16 `json:"columns"`
	Rows    uint16 `json:"rows"`
}

// takeover is an answer that carries the connection's further course out. It errs, with a *problem for the client, only before it has sent anything.
type takeover func(conn *net.UnixConn) error

// console answers with what the guest printed last, or attaches a client that asks for that.
func (s *Server) console(r request) (any, error) {
	switch r.upgrade {
	case "":
		if b := s.machine.ConsoleText(); b != nil {
			return text(b), nil
		}
		return text{}, nil
	case consoleProtocol:
		past := r.query.Get("history") != "no"
		return takeover(func(conn *net.UnixConn) error { return s.attach(conn, r.rest, past) }), nil
	}
	return nil, problemf(statusBadRequest, "the connection can be upgraded to %s alone", consoleProtocol)
}

// attach joins a client to the console until it goes, or the machine ends.
func (s *Server) attach(conn *net.UnixConn, typed io.Reader, past bool) error {
	if err := s.takeSeat(conn); err != nil {
		return err
	}
	defer s.leaveSeat()
	if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: "+consoleProtocol+"\r\nConnection: Upgrade\r\n\r\n"); err != nil {
		return err
	}
	out := spool.New(conn) // nobody waits for a client that does not read
	c := s.machine.AttachConsole(out, past)
	buf := make([]byte, 512)
	for {
		n, err := typed.Read(buf)
		if n > 0 {
			_, _ = c.Write(buf[:n]) // what the guest does not take is lost, as on a line
		}
		if err != nil {
			break
		}
	}
	_ = c.Close()
	_ = out.Close()
	return nil
}

// takeSeat lets an exchange last as long as the machine runs, unless there are enough of them.
func (s *Server) takeSeat(conn *net.UnixConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the machine ends")
	}
	if s.consoles == maxConsoles {
		return problemf(statusConflict, "%d clients are attached to the console, which is as many as may be", maxConsoles)
	}
	s.consoles++
	return conn.SetDeadline(time.Time{})
}

func (s *Server) leaveSeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consoles--
}

func (s *Server) resizeConsole(r request) (any, error) {
	var size ConsoleSize
	if err := decode(r.body, &size); err != nil {
		return nil, err
	}
	if size.Columns == 0 || size.Rows == 0 {
		return nil, problemf(statusBadRequest, "columns and rows are needed")
	}
	s.machine.Resize(size.Columns, size.Rows)
	return nothing{}, nil
}

// tail answers with the end of the machine's journal.
func (s *Server) tail(r request) (any, error) {
	most := someLog
	if v := r.query.Get("bytes"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLog {
			return nil, problemf(statusBadRequest, "bytes: %.16q is not a number from 1 to %d", v, maxLog)
		}
		most = n
	}
	b, err := s.machine.Log(most)
	if err != nil {
		return did(nil, err)
	}
	return text(b), nil
}
