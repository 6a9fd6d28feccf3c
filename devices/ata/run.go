package ata

import (
	"log/slog"

	"github.com/sharevm/vmm/internal/guard"
)

// Run is d.Execute, but a panic of the drive or of its image ends in a failed command. name is for the log.
func Run(d Device, c *Command, data [][]byte, log *slog.Logger, name string) {
	sound := false
	defer func() {
		if !sound {
			c.Fail(ErrorAbort)
			c.Result.Status |= StatusFault
		}
	}()
	defer guard.Panic(log, name)
	d.Execute(c, data)
	sound = true
}
