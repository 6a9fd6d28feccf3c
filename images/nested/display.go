package nested

import (
	"slices"
	"strings"
)

// xServer is where the guest finds the host's X server, in QEMU's user network.
const xServer = "10.0.2.100"

// leadDisplay is the environment with a DISPLAY that leads to the host's X server, by the way that X11 opens.
func (c Config) leadDisplay() []string {
	const name = "DISPLAY="
	i := slices.IndexFunc(c.Env, func(kv string) bool { return strings.HasPrefix(kv, name) && kv != name })
	if i < 0 || len(c.X11) == 0 {
		return c.Env
	}
	lead := name + xServer + ":0"
	old := c.Env[i]
	if _, screen, ok := strings.Cut(old[strings.LastIndexByte(old, ':')+1:], "."); ok {
		lead += "." + screen
	}
	env := slices.Clone(c.Env)
	env[i] = lead
	return env
}

// displayForward is the option of QEMU's user network for it.
func displayForward(command []string) string {
	if len(command) == 0 {
		return ""
	}
	quoted := make([]string, len(command))
	for i, word := range command { // for a shell's rules
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return ",guestfwd=tcp:" + xServer + ":6000-cmd:" + strings.ReplaceAll(strings.Join(quoted, " "), ",", ",,")
}
