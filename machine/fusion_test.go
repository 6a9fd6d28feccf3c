package machine

import (
	"testing"

	"github.com/sharevm/vmm/config"
)

// TestClockMisleads hides KVM's clock where SeaBIOS would read a disk wrongly because of it, and nowhere else.
func TestClockMisleads(t *testing.T) {
	for _, c := range []struct {
		firmware config.FirmwareKind
		model    config.ControllerModel
		kernel   string
		want     bool
	}{
		{config.FirmwareBIOS, config.ControllerLSILogic, "", true},
		{config.FirmwareBIOS, config.ControllerLSISAS, "", true},
		{config.FirmwareBIOS, config.ControllerPVSCSI, "", false},
		{config.FirmwareEFI, config.ControllerLSISAS, "", false},
		{config.FirmwareBIOS, config.ControllerLSISAS, "/vmlinuz", false},
	} {
		m := config.New("test")
		m.Firmware.Kind, m.Boot.Kernel = c.firmware, c.kernel
		m.Controllers = []config.Controller{{Model: config.ControllerPIIX}, {Model: c.model}}
		if got := clockMisleads(m); got != c.want {
			t.Errorf("%s from %s, kernel %q: %v", c.firmware, c.model, c.kernel, got)
		}
	}
}
