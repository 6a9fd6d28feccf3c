package session

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sharevm/vmm/session/link"
)

// LinkFD is the descriptor at which a machine's process finds its end of the link.
const LinkFD = 3

// Process is the process of a machine.
type Process struct {
	Remote *link.Remote
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // set when ended is closed
	// background is whether the process has been made to yield. It is the Keeper's, for the one goroutine that does that.
	background bool
	group      *group // nil without one
}

// Start starts program with args as a machine's process. What it prints goes to out; changed is for link.Connect.
func Start(program string, args []string, out io.Writer, changed func()) (*Process, error) {
	return start(program, args, out, changed, nil)
}

// start is Start in a control group, unless g is nil. The group goes with the process.
func start(program string, args []string, out io.Writer, changed func(), g *group) (_ *Process, err error) {
	defer func() {
		if err != nil {
			g.remove()
		}
	}()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket to a machine's process: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "link")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		return nil, fmt.Errorf("socket to a machine's process: %w", err)
	}
	p := &Process{cmd: exec.Command(program, args...), ended: make(chan struct{}), group: g}
	p.cmd.ExtraFiles = []*os.File{theirs} // LinkFD
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A session of its own: the user's Ctrl-C is for us alone, and the scheduler sees the machine as one group.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if g != nil {
		p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(g.file.Fd())
	}
	if err := p.cmd.Start(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("start a machine's process: %w", err)
	}
	p.Remote = link.Connect(conn.(*net.UnixConn), changed)
	go func() {
		p.err = p.cmd.Wait()
		g.remove()
		p.Remote.Close()
		close(p.ended)
	}()
	return p, nil
}

// PID is the process's number. It may be another's once the process has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Why says how the process ended, after Ended; "" stands for a machine that was powered off.
func (p *Process) Why() string {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return ""
	case errors.As(p.err, &exit) && exit.ExitCode() < 0:
		return "its process was ended by " + exit.Sys().(syscall.WaitStatus).Signal().String()
	case errors.As(p.err, &exit):
		return "it failed, status " + strconv.Itoa(exit.ExitCode())
	}
	return p.err.Error()
}

// Kill ends the process without asking the guest.
func (p *Process) Kill() { _ = p.cmd.Process.Kill() }
