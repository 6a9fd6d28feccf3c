package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// console is the terminal that /dev/console leads to. Other than that name, it can be a controlling terminal.
func console() string {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if names := strings.Fields(string(active)); err == nil && len(names) > 0 {
		return filepath.Join("/dev", names[len(names)-1])
	}
	return "/dev/console"
}

// useConsole moves this program's own output to the console: the kernel gave it the one that it had at the very start.
func useConsole() {
	fd, err := unix.Open(console(), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // the one so far serves
	}
	for i := range 3 {
		_ = unix.Dup3(fd, i, 0)
	}
	_ = unix.Close(fd)
}

// welcome prints /etc/motd and the state of the machine.
func welcome(state ...string) {
	motd, err := os.ReadFile("/etc/motd")
	if err != nil {
		return // a root disk without one wants its console quiet
	}
	fmt.Printf("\n%s", motd)
	for _, s := range state {
		fmt.Printf("  %s\n", s)
	}
	fmt.Println()
}

// prepared is a command with the console as its terminal.
func prepared(args ...string) *exec.Cmd {
	os.Setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
	cmd := exec.Command(args[0], args[1:]...)
	term := os.Getenv("TERM") // the kernel's command line sets it
	if term == "" {
		term = "linux"
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/root", "TERM=" + term, "PS1=# "}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// command runs one command and reports how it ended. Orphans stay unreaped: the machine ends with the command.
func command(args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd := prepared(args...)
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	status := cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(unix.WaitStatus); ok && ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	say("exit status %d", status)
	return nil
}

// shells runs one login shell after another on the console, and returns only when none can be started.
func shells() error {
	for {
		if err := shell(); err != nil {
			return err
		}
		fmt.Println("\n(a new shell; poweroff ends the machine)")
	}
}

// shell runs one shell in a session of its own, so that Ctrl-C reaches its commands and nothing else, and reaps orphans meanwhile.
func shell() error {
	f, err := os.OpenFile(console(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := prepared("/bin/sh")
	cmd.Args[0] = "-sh" // a login shell reads /etc/profile
	cmd.Dir = "/root"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if err == unix.EINTR || err == nil && pid != cmd.Process.Pid {
			continue
		}
		// A shell that ends because the machine does is neither replaced nor missed.
		ending.Lock()
		defer ending.Unlock()
		return err
	}
}
