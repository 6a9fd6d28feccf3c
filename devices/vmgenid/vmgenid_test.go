package vmgenid

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

const ram = 4 * PageSize

func newDevice(t testing.TB, events *int) (*Device, *memory.Guest) {
	t.Helper()
	mem, err := memory.FromRegions(memory.Region{Base: 0, Host: make([]byte, ram)})
	if err != nil {
		t.Fatal(err)
	}
	return New(mem, func() { *events++ }, nil), mem
}

func TestRenew(t *testing.T) {
	var events int
	d, mem := newDevice(t, &events)
	first := d.Page()
	if len(first) != PageSize || bytes.Equal(first[Offset:Offset+16], make([]byte, 16)) {
		t.Fatal("there is no number")
	}
	d.Renew()
	if events != 0 || bytes.Equal(first, d.Page()) {
		t.Errorf("before firmware ran: %d events", events)
	}
	for _, c := range []struct {
		page   uint64
		events int
	}{{ram - 1, 0}, {1<<64 - 1, 0}, {PageSize, 1}} {
		d.Placed(binary.LittleEndian.AppendUint64(nil, c.page))
		d.Renew()
		if events != c.events {
			t.Errorf("page %#x: %d events", c.page, events)
		}
	}
	got := make([]byte, PageSize)
	if err := mem.Read(PageSize, got); err != nil || !bytes.Equal(got, d.Page()) {
		t.Error("RAM does not hold the number")
	}
	r := statetest.Cycle(t, d, func() state.Device { d, _ := newDevice(t, &events); return d }).(*Device)
	if !bytes.Equal(r.Page(), d.Page()) {
		t.Error("the restored device has another number")
	}
	if r.Renew(); events != 2 || bytes.Equal(r.Page(), d.Page()) {
		t.Errorf("after the restore: %d events", events)
	}
}
