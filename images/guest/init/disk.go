package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/sharevm/vmm/images/guest/lease"
	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// disk is the life of a machine whose root is a disk: mounts, network, then a command or a shell.
func disk(args []string) error {
	mark(setup.MarkRoot)
	for _, m := range []setup.Mount{
		{Source: "devpts", Target: "/dev/pts", Type: "devpts", Data: "mode=0620,ptmxmode=0666"},
		{Source: "tmpfs", Target: "/run", Type: "tmpfs", Data: "mode=0755"},
		{Source: "tmpfs", Target: "/tmp", Type: "tmpfs", Data: "mode=1777"},
	} {
		if err := m.Do(); err != nil && !errors.Is(err, unix.EBUSY) {
			return err
		}
	}
	useConsole()
	if err := unix.Sethostname([]byte(hostname())); err != nil {
		return err
	}
	if err := setup.Up("lo"); err != nil {
		return err
	}
	watchSignals()
	setup.WatchPowerButtons(func() { end(unix.LINUX_REBOOT_CMD_POWER_OFF) })
	go setup.OnRestore(networkWait, func(_, _ time.Duration) error { return nil }) // where the machine has the port
	network := startNetwork()
	data := mountData()
	state := awaitNetwork(network)
	if len(args) > 0 {
		say("%s", data)
		say("%s", state)
		say("ready after %s s", uptime())
		mark(setup.MarkReady)
		return command(args)
	}
	welcome(data, state)
	mark(setup.MarkReady)
	return shells()
}

// hostname is what the root disk calls the machine.
func hostname() string {
	b, err := os.ReadFile("/etc/hostname")
	if name := strings.TrimSpace(string(b)); err == nil && name != "" {
		return name
	}
	return "vmm"
}

// mountData mounts a second disk, where there is one with a file system that we know, and says how that went.
func mountData() string {
	const dev, target = "/dev/vdb", "/data"
	if _, err := os.Stat(dev); errors.Is(err, fs.ErrNotExist) {
		return "no data disk"
	}
	if err := (setup.Mount{Source: dev, Target: target, Type: "ext4"}).Do(); err != nil {
		return "data disk: " + err.Error()
	}
	return "data disk " + dev + " on " + target
}

// networkWait is how long the prompt waits for an address. On vmm's own network one comes within milliseconds; elsewhere it may come
// after the prompt.
const networkWait = 2 * time.Second

// startNetwork asks for an address in the background, and reports once how that went.
func startNetwork() <-chan string {
	done := make(chan string, 1)
	go func() {
		if _, err := os.Stat("/sys/class/net/eth0"); err != nil {
			done <- "no network card"
			return
		}
		l, err := lease.Get("eth0")
		if err != nil {
			done <- "no address for eth0: " + err.Error() // a machine without a network is a machine all the same
			return
		}
		mark(setup.MarkNetwork)
		done <- l.String()
	}()
	return done
}

func awaitNetwork(done <-chan string) string {
	select {
	case s := <-done:
		return s
	case <-time.After(networkWait):
		return "network: still waiting for an address"
	}
}

// mark puts a step on the machine's timeline. Elsewhere than on vmm the port leads nowhere.
func mark(step byte) { _ = setup.Mark(step) }
