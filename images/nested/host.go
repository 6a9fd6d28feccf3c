package nested

import (
	"fmt"
	"os"
	"strings"
)

// hostKVMModule names the module by which the host itself runs guests, and makes sure that it passes virtualisation on to them.
func hostKVMModule() (string, error) {
	for _, name := range []string{"kvm_amd", "kvm_intel"} {
		b, err := os.ReadFile("/sys/module/" + name + "/parameters/nested")
		if err != nil {
			continue
		}
		if v := strings.TrimSpace(string(b)); v != "1" && v != "Y" {
			return "", fmt.Errorf("%w: the host's %s has nesting switched off (load it with nested=1)", ErrConfig, name)
		}
		return name, nil
	}
	return "", fmt.Errorf("%w: the host has neither kvm-amd nor kvm-intel; leave the accelerator at %q", ErrConfig, TCG)
}
