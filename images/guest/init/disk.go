package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// disk is the life of a machine whose root is a disk: mounts, network, then a command or a shell.
func disk(args []string) error {
	for _, m := range []setup.Mount{
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Data: "mode=0620,ptmxmode=0666"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Data: "mode=0755"},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Data: "mode=1777"},
	} {
		if err := m.Do(); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	if err := unix.Sethostname([]byte("vmm")); err != nil {
		return err
	}
	if err := setup.Up("lo"); err != nil {
		return err
	}
	go watchPowerButtons()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT) // SIGINT is what the kernel makes of Ctrl-Alt-Del
	go func() {
		<-signals
		end()
	}()
	mountData()
	if _, err := os.Stat("/sys/class/net/eth0"); err == nil {
		if lease, err := dhcp("eth0"); err != nil {
			say("no address for eth0: %v", err) // a machine without a network is a machine all the same
		} else {
			say("eth0 has %v by %v, name server %v", lease.Addr, lease.Gateway, lease.DNS)
		}
	}
	say("ready after %s s", uptime())
	if len(args) > 0 {
		return command(args)
	}
	for {
		if err := shell(); err != nil {
			return err
		}
	}
}

// mountData mounts a second disk, where there is one with a file system that we know.
func mountData() {
	const dev = "/dev/vdb"
	if _, err := os.Stat(dev); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := (setup.Mount{Source: dev, Target: "/data", Type: "ext4"}).Do(); err != nil {
		say("%v", err)
	}
}

// end powers off from any goroutine.
func end() {
	say("powering off")
	if err := powerOff(); err != nil {
		say("%v", err)
	}
}

// environment of what runs in the guest.
var environment = []string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TERM=" + term(), "PS1=# "}

// term is what the kernel was told of the terminal behind the console.
func term() string {
	if t := os.Getenv("TERM"); t != "" {
		return t
	}
	return "linux"
}

// prepared is a command with the console as its terminal.
func prepared(args []string) *exec.Cmd {
	os.Setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = environment
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// command runs one command and reports how it ended. Orphans stay unreaped: the machine ends with the command.
func command(args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd := prepared(args)
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(interface {
		Signaled() bool
		Signal() unix.Signal
	}); ok && ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	say("exit status %d", status)
	return nil
}

// shell runs one interactive shell on the console, in a session of its own so that Ctrl-C reaches it and nothing else.
func shell() error {
	tty := "/dev/console"
	if active, err := os.ReadFile("/sys/class/tty/console/active"); err == nil {
		if fields := fieldsOf(active); len(fields) > 0 {
			tty = filepath.Join("/dev", fields[len(fields)-1]) // the last one is what /dev/console leads to, but can be a controlling terminal
		}
	}
	f, err := os.OpenFile(tty, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := prepared([]string{"/bin/sh"})
	cmd.Dir = "/root"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if err == nil && pid == cmd.Process.Pid {
			return nil
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
}
