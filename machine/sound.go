package machine

import (
	"github.com/sharevm/vmm/audio"
	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/devices/hda"
)

// openSound takes over what the machine plays on.
func (m *Machine) openSound() {
	to := m.opt.Sound
	if to == nil {
		to = audio.Null{}
	}
	m.sound = audio.NewOutput(to)
	switch m.cfg.Sound.Model {
	case config.SoundNone, config.SoundHDA:
	default:
		m.log.Warn("the sound card is not supported, and left out: sound.virtualDev can be hdaudio", "sound card", m.cfg.Sound.Model)
	}
}

// Mute makes the machine silent, or heard.
func (m *Machine) Mute(on bool) { m.sound.Mute(on) }

// HasSound says whether a machine has a sound card that somebody may want to hear.
func HasSound(c *config.Machine) bool {
	return c.Board == config.BoardPC && c.Sound.Model == config.SoundHDA
}

// addSound plugs the sound card.
func (b *board) addSound() error {
	if !HasSound(b.m.cfg) {
		return nil
	}
	const name = "sound"
	dev, err := hda.New(hda.Config{Name: name, Memory: b.mem, MSI: b.vm, Output: b.m.sound, Log: b.m.log})
	if err != nil {
		return err
	}
	b.closers = append(b.closers, dev)
	return b.plugFunction(b.m.cfg.Sound.Slot, name, dev.Function(), dev)
}
