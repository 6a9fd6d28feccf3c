package main

import (
	"log/slog"
	"os"

	"github.com/sharevm/vmm/audio"
	"github.com/sharevm/vmm/audio/pulse"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/machine"
)

// openSound opens what a machine's sound is played on: a WAVE file where one is named, or the user's sound server. Without either it returns nil,
// and nobody hears the machine.
func openSound(c *config.Machine, file string, log *slog.Logger) (audio.Backend, error) {
	if !machine.HasSound(c) {
		return nil, nil
	}
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return nil, err
		}
		return audio.NewWAV(f), nil
	}
	b, err := pulse.Connect(c.Name)
	if err != nil {
		log.Debug("no sound server", "why", err)
		return nil, nil
	}
	return b, nil
}
