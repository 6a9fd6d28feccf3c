package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/sharevm/vmm/images/guest/setup"
	"golang.org/x/sys/unix"
)

// mark (NUMBER) writes a byte to the board's marker port, which puts it on the machine's timeline.
func mark(arg string) error {
	n, err := strconv.ParseUint(arg, 10, 8)
	if err != nil {
		return err
	}
	return setup.Mark(byte(n))
}

// reboot (DEVICE:TIMES) restarts the machine that often, counting in the disk's last block. How is up to the kernel: with
// reboot=t on its command line it faults three times in a row.
func reboot(args string) error {
	d, n, err := openWith(args, 1)
	if err != nil {
		return err
	}
	defer d.Close()
	buf := aligned(4096)
	at := d.size&^4095 - 4096
	if _, err := d.ReadAt(buf, at); err != nil {
		return err
	}
	count := binary.LittleEndian.Uint64(buf)
	say("reboots %d", count)
	if count >= uint64(n[0]) {
		return nil
	}
	binary.LittleEndian.PutUint64(buf, count+1)
	if _, err := d.WriteAt(buf, at); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		return err
	}
	select {}
}

// waitForButton says "waiting for the button" and returns when the power button is pressed.
func waitForButton(string) error {
	events, err := filepath.Glob("/dev/input/event*")
	if err != nil || len(events) == 0 {
		return errors.New("no input device")
	}
	pressed := make(chan error, len(events))
	for _, e := range events {
		f, err := os.Open(e)
		if err != nil {
			return err
		}
		go func() {
			const keyEvent, power = 1, 116
			ev := make([]byte, 24)
			for {
				if _, err := io.ReadFull(f, ev); err != nil {
					pressed <- err
					return
				}
				if binary.LittleEndian.Uint16(ev[16:]) == keyEvent && binary.LittleEndian.Uint16(ev[18:]) == power {
					pressed <- nil
					return
				}
			}
		}()
	}
	say("waiting for the button")
	return <-pressed
}

// echoConsole (DEVICE) asks for a line on another console and repeats it there.
func echoConsole(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// A serial port sends in its own time: what comes by another console meanwhile would stand in the middle of its lines.
	if err := sendAll(os.Stdout); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "type a line on %s\n", path); err != nil {
		return err
	}
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return err
	}
	if _, err = fmt.Fprintf(f, "you typed %q\n", line); err != nil {
		return err
	}
	return sendAll(f)
}

// sendAll waits until a terminal has sent what was written to it, as tcdrain(3) does.
func sendAll(f *os.File) error {
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1); err != nil {
		return fmt.Errorf("waiting until %s has sent all: %w", f.Name(), err)
	}
	return nil
}

// readRandom reads from the machine's random number generator.
func readRandom(string) error {
	f, err := os.Open("/dev/hwrng")
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := io.ReadFull(f, b); err != nil {
		return err
	}
	var kinds [256]bool
	distinct := 0
	for _, c := range b {
		if !kinds[c] {
			kinds[c] = true
			distinct++
		}
	}
	if distinct < 200 {
		return fmt.Errorf("4096 random bytes have %d different values", distinct)
	}
	return nil
}
