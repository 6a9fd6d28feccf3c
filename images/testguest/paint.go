package main

import (
	"fmt"
	"os"
)

// painted keeps what shows the picture open until the machine is powered off.
var painted []*os.File

// paint (SEED) shows a pattern on the first graphics card, every pixel by pixelOf, for the tasks that follow.
func paint(args string) error {
	var seed uint32
	if _, err := fmt.Sscan(args, &seed); err != nil {
		return err
	}
	c, f, err := firstCard()
	if err != nil {
		return err
	}
	painted = append(painted, f)
	_, err = c.show(c.modes[0], seed)
	return err
}
