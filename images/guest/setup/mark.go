package setup

import (
	"fmt"
	"os"
)

// MarkPort is the I/O port on which vmm's board takes marks for its timeline: machine.MarkPort.
const MarkPort = 0x6F0

// Mark tells the machine that a step has been reached, as a number that the machine puts on its timeline.
func Mark(n byte) error {
	f, err := os.OpenFile("/dev/port", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("marking step %d: %w", n, err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{n}, MarkPort); err != nil {
		return fmt.Errorf("marking step %d: %w", n, err)
	}
	return nil
}
