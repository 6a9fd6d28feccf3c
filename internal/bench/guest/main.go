// Command guest is the first process of the guests that `make bench` boots: it says when it runs, has the kernel drive the machine's
// disk and network card, says when that is done, and then stands still, so that the monitor's memory can be looked at. With arguments
// it is the guest's part of the network, the block or the background benchmark instead.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
	"github.com/sharevm/vmm/internal/bench/blockload"
	"github.com/sharevm/vmm/internal/bench/line"
)

func main() {
	say(line.Init)
	do := work
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case line.Network:
			do = func() error { return network(os.Args[2:]) }
		case blockload.Argument:
			do = block
		case line.Spin:
			do = spin
		}
	}
	if err := do(); err != nil {
		say(line.Failed + err.Error())
	}
	say(line.Ready)
	select {} // until the machine is taken away
}

func say(s string) { _, _ = os.Stdout.WriteString(s + "\n") }

// work makes the devices do what devices do: a quiet one would keep its share of the monitor's memory for later.
func work() error {
	if err := setup.KernelFS("/"); err != nil {
		return err
	}
	if err := setup.LoadModules("/modules"); err != nil {
		return err
	}
	const disk, limit = "/dev/vda", 10 * time.Second
	if err := setup.WaitFor(disk, limit); err != nil {
		return err
	}
	f, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer f.Close()
	const bytes = 16 << 20
	if _, err := io.CopyN(io.Discard, f, bytes); err != nil {
		return fmt.Errorf("read the disk: %w", err)
	}
	cards, err := filepath.Glob("/sys/class/net/[!l]*")
	if err != nil {
		return err
	}
	for _, c := range cards {
		// The kernel then looks for IPv6 routers and neighbours: the first packets.
		if err := setup.Up(filepath.Base(c)); err != nil {
			return fmt.Errorf("network card: %w", err)
		}
	}
	return nil
}
