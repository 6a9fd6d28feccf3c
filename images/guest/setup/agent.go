package setup

import (
	"bufio"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AgentPort is the name of the console port by which the machine talks with its guest: machine.AgentPort, which describes the lines. A machine has it whose
// .vmx says vmm.agent = "TRUE".
const AgentPort = "vmm.agent"

// OnRestore waits for the machine to be restored from a snapshot, again and again. It then gives network cards the addresses that they shall have, sets the clock, and calls f
// with how far behind that was, and is now as far as the machine can tell: connections, leases and whatever else must not be shared with other machines from the same
// snapshot are to be made anew. It returns when there is no such port within limit, or when f or the port fails.
func OnRestore(limit time.Duration, f func(was, is time.Duration) error) error {
	path, err := FindPort(AgentPort, limit)
	if err != nil {
		return err
	}
	port, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the machine's port: %w", err)
	}
	defer port.Close()
	r := bufio.NewReader(port)
	for {
		word, _, more, err := agentLine(r)
		if err != nil {
			return err
		}
		if word != "restored" {
			continue
		}
		if err := setAddresses(more); err != nil {
			return err
		}
		was, is, err := setClock(port, r)
		if err != nil {
			return err
		}
		if err := f(was, is); err != nil {
			return err
		}
	}
}

// setClock sets the clock to the machine's time: how far it was behind, and is.
func setClock(port *os.File, r *bufio.Reader) (was, is time.Duration, err error) {
	if is, err = behind(port, r); err != nil {
		return 0, 0, err
	}
	const tries, enough = 3, 5 * time.Millisecond
	for i := 0; i < tries && is.Abs() > enough; i++ {
		to := unix.NsecToTimespec(time.Now().Add(is).UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &to); err != nil {
			return 0, 0, fmt.Errorf("set the clock: %w", err)
		}
		was += is
		if is, err = behind(port, r); err != nil {
			return 0, 0, err
		}
	}
	return was, is, nil
}

// behind finds out by how much the machine's clock is ahead of this one. An answer that was long under way, as on a host that is busy with restoring, may be off by half of that
// time: of several the quickest counts.
func behind(port *os.File, r *bufio.Reader) (ahead time.Duration, err error) {
	const tries, quick = 8, 10 * time.Millisecond
	best := time.Duration(math.MaxInt64)
	for i := 0; i < tries && best > quick; i++ {
		by, took, err := ask(port, r)
		if err != nil {
			return 0, err
		}
		if took < best {
			ahead, best = by, took
		}
	}
	return ahead, nil
}

// ask asks the machine what time it is: by how much its clock is ahead of this one, and how long the answer took.
func ask(port *os.File, r *bufio.Reader) (ahead, took time.Duration, err error) {
	for {
		asked := time.Now()
		if _, err := port.WriteString("time\n"); err != nil {
			return 0, 0, fmt.Errorf("ask the machine for the time: %w", err)
		}
		word, host, _, err := agentLine(r)
		if err != nil {
			return 0, 0, err
		}
		if word != "time" { // restored again, so that the answer is lost or of another life
			continue
		}
		now := time.Now()
		took = now.Sub(asked)
		return host.Add(took / 2).Sub(now.Round(0)), took, nil
	}
}

// agentLine reads a line of a word, a time, and more.
func agentLine(r *bufio.Reader) (word string, at time.Time, more []string, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", at, nil, fmt.Errorf("listen to the machine: %w", err)
	}
	words := strings.Fields(line)
	if len(words) < 2 {
		return "", at, nil, fmt.Errorf("the machine said %q", line)
	}
	ns, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return "", at, nil, fmt.Errorf("the machine said %q", line)
	}
	return words[0], time.Unix(0, ns), words[2:], nil
}

// setAddresses gives each network card that has the first of two MAC addresses, "OLD=NEW", the second.
func setAddresses(changes []string) error {
	cards, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the network cards: %w", err)
	}
	for _, c := range changes {
		had, to, _ := strings.Cut(c, "=")
		address, err := net.ParseMAC(to)
		if err != nil {
			return fmt.Errorf("the machine said %q: %w", c, err)
		}
		for _, card := range cards {
			if card.HardwareAddr.String() == had {
				if err := setMAC(card.Name, address); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// FindPort returns the device file of the console port of that name. A driver learns names after it has made the files, so that there is no event for this.
func FindPort(name string, limit time.Duration) (string, error) {
	const pause = 20 * time.Millisecond
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return "", err
		}
		for _, n := range names {
			if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == name {
				return filepath.Join("/dev", filepath.Base(filepath.Dir(n))), nil
			}
		}
		if time.Now().After(end) {
			return "", fmt.Errorf("console port %s: %w", name, os.ErrNotExist)
		}
	}
}
