package swtpm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrMissing says that the program is not installed.
var ErrMissing = errors.New("swtpm, which emulates the machine's TPM, is missing: apt-get install swtpm")

// Find returns the path of the program, or ErrMissing.
func Find() (string, error) {
	path, err := exec.LookPath("swtpm")
	if err != nil {
		return "", ErrMissing
	}
	return path, nil
}

// TPM is a running swtpm.
type TPM struct {
	dir           string
	control, data stream
	process       *exec.Cmd // nil in tests
	said          tail
}

// Start starts a TPM that keeps its state in the folder dir, which it makes if it is missing, and whose commands and responses have at most
// bufferSize bytes. PowerOn comes next.
func Start(dir string, bufferSize int) (_ *TPM, err error) {
	program, err := Find()
	if err != nil {
		return nil, err
	}
	if err := makeFolder(dir); err != nil {
		return nil, fmt.Errorf("folder for the TPM's state: %w", err)
	}
	// Left by a machine that crashed as it went on from a snapshot, it would be taken for what the TPM remembers.
	if err := os.Remove(filepath.Join(dir, volatileFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("volatile state of the TPM: %w", err)
	}
	control, theirControl, err := socketPair("swtpm control")
	if err != nil {
		return nil, err
	}
	defer theirControl.Close()
	data, theirData, err := socketPair("swtpm data")
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	defer theirData.Close()
	t := &TPM{dir: dir, control: control, data: data}
	c := exec.Command(program, "socket", "--tpm2", "--tpmstate", "dir=.", "--ctrl", "type=unixio,clientfd=3", "--terminate", "--seccomp", "action=kill")
	c.ExtraFiles = []*os.File{theirControl}
	c.Stdout, c.Stderr = &t.said, &t.said
	c.Env = []string{"PATH=/usr/bin:/bin"}
	c.Dir = dir                                        // named ".", since a comma in a path would end the option
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is the machine's affair
	if err := c.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start swtpm: %w", err), control.Close(), data.Close())
	}
	t.process = c
	defer func() {
		if err != nil {
			_ = c.Process.Kill()
			_ = t.Close()
			err = t.explain(err)
		}
	}()
	if err := sendFile(control, encode(cmdSetDataFD), theirData); err != nil {
		return nil, fmt.Errorf("swtpm: %v: %w", cmdSetDataFD, err)
	}
	if err := t.ask(cmdSetDataFD, nil); err != nil {
		return nil, err
	}
	var size, low, high uint32
	if err := t.ask(cmdSetBufferSize, encode(cmdSetBufferSize, uint32(bufferSize)), &size, &low, &high); err != nil {
		return nil, err
	}
	if int64(size) > int64(bufferSize) {
		return nil, fmt.Errorf("swtpm: it wants buffers of %d bytes, the machine's have %d", size, bufferSize)
	}
	return t, nil
}

// makeFolder makes a folder, or sees that there is one. A link to one does not do: who made the machine may have laid it, to have the program write elsewhere.
func makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", dir)
	}
	return err
}

// socketPair makes two sockets that are connected: ours, which never blocks a thread, and theirs.
func socketPair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("sockets for swtpm: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), name)
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("sockets for swtpm: %w", err), unix.Close(fds[0]), theirs.Close())
	}
	return os.NewFile(uintptr(fds[0]), name), theirs, nil
}

// sendFile sends p, and f along with it.
func sendFile(to *os.File, p []byte, f *os.File) error {
	c, err := to.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := c.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), p, unix.UnixRights(int(f.Fd())), nil, 0)
		return sent != unix.EAGAIN
	}); err != nil {
		return err
	}
	return sent
}

// endLimit is how long the program may take to end.
const endLimit = 5 * time.Second

// Close ends the program. No command may be under way.
func (t *TPM) Close() error {
	if t == nil {
		return nil
	}
	err := t.ask(cmdShutdown, encode(cmdShutdown))
	err = errors.Join(err, t.control.Close(), t.data.Close())
	if t.process == nil {
		return err
	}
	kill := time.AfterFunc(endLimit, func() { _ = t.process.Process.Kill() })
	defer kill.Stop()
	if ended := t.process.Wait(); ended != nil {
		err = errors.Join(err, t.explain(fmt.Errorf("swtpm: %w", ended)))
	}
	return err
}

// sayLimit is how long explain waits for what the program said: it says it before it answers, but through a pipe that another goroutine reads.
const sayLimit = 500 * time.Millisecond

// explain adds to err what the program said.
func (t *TPM) explain(err error) error {
	t.said.wait(sayLimit)
	if said := t.said.String(); said != "" {
		return fmt.Errorf("%w (%s)", err, said)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	last []byte
}

// tailSize is how much a tail keeps, in bytes.
const tailSize = 512

// wait waits until there is a whole line, for at most the given time.
func (l *tail) wait(limit time.Duration) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(limit / 100) {
		l.mu.Lock()
		whole := bytes.HasSuffix(l.last, []byte{'\n'})
		l.mu.Unlock()
		if whole {
			return
		}
	}
}

// Write implements io.Writer.
func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p[max(len(p)-tailSize, 0):]...)
	l.last = append(l.last[:0], l.last[max(len(l.last)-tailSize, 0):]...)
	return len(p), nil
}

// String returns it as one line.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.ReplaceAll(strings.TrimSpace(string(l.last)), "\n", "; ")
}
