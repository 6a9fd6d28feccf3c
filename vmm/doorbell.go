package vmm

import (
	"github.com/sharevm/vmm/vmm/bus"
	"github.com/sharevm/vmm/vmm/kvm"
)

// doorbells is the bus.Binder that leaves writes to doorbells to the kernel.
type doorbells struct {
	kvm  *kvm.VM
	port bool
}

// BindDoorbell implements bus.Binder.
func (d *doorbells) BindDoorbell(b bus.Doorbell) error { return d.kvm.AssignIOEventFD(d.entry(b)) }

// UnbindDoorbell implements bus.Binder.
func (d *doorbells) UnbindDoorbell(b bus.Doorbell) error { return d.kvm.DeassignIOEventFD(d.entry(b)) }

func (d *doorbells) entry(b bus.Doorbell) kvm.IOEventFD {
	return kvm.IOEventFD{FD: b.Event.FD(), Addr: b.Addr, Width: b.Width, Match: b.Match, Port: d.port}
}
