package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sharevm/vmm/images/guest/setup"
)

// painted keeps what shows the picture open until the machine is powered off.
var painted *os.File

// paint (SEED) shows a pattern on the first graphics card, every pixel by pixelOf, for the tasks that follow.
func paint(args string) error {
	var seed uint32
	if _, err := fmt.Sscan(args, &seed); err != nil {
		return err
	}
	const device = "/dev/dri/card0"
	if err := setup.WaitFor(device, 20*time.Second); err != nil {
		return err
	}
	var err error
	if painted, err = os.OpenFile(device, os.O_RDWR, 0); err != nil {
		return err
	}
	c, err := openCard(int(painted.Fd()))
	if err != nil {
		return err
	}
	_, err = c.show(c.modes[0], seed)
	return err
}
