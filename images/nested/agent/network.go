package agent

import "github.com/sharevm/vmm/images/guest/setup"

// The guest's side of QEMU's user network (its default addresses). The host itself answers at the gateway's.
var (
	address = [4]byte{10, 0, 2, 15}
	netmask = [4]byte{255, 255, 255, 0}
	gateway = [4]byte{10, 0, 2, 2}
)

const nameserver = "10.0.2.3"

func network() error {
	if err := setup.Up("lo"); err != nil {
		return err
	}
	return setup.IPv4("eth0", address, netmask, gateway)
}
