package transport_test

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/transport"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

// Registers of the common configuration.
const (
	regConfigVector = 0x10
	regStatus       = 0x14
	regGeneration   = 0x15
	regQueueSelect  = 0x16
	regQueueSize    = 0x18
	regQueueVector  = 0x1a
	regQueueEnable  = 0x1c
	regQueueDesc    = 0x20
	regQueueReset   = 0x3a
)

func TestEcho(t *testing.T) {
	for _, features := range []uint64{0, virtio.FeatureEventIdx, virtio.FeatureIndirectDesc, allFeatures} {
		for _, size := range []int{1, 2, 8} {
			t.Run(fmt.Sprintf("%#x, size %d", features, size), func(t *testing.T) {
				d := virtiotest.New(t, new(echo))
				d.Negotiate(features)
				for i := range d.Queues {
					d.SetupQueue(i, size).Indirect = size < 8
				}
				d.DriverOK()
				for n := range 300 {
					msg := fmt.Sprint("message ", n)
					q := d.Queues[n%2]
					if size == 1 && features&virtio.FeatureIndirectDesc == 0 {
						q.Submit([][]byte{[]byte(msg)}).Wait() // no room for an answer
					} else if got := q.Submit([][]byte{[]byte(msg)}, 64).Wait(); string(got) != msg {
						t.Fatalf("%q came back as %q", msg, got)
					}
				}
			})
		}
	}
}

func TestIdentity(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	for off, want := range map[int]uint64{0: 0x107f1af4, 8: 0x00ff0001, 0x2c: 0x11001af4} {
		if got := d.Config(off, 4); got != want {
			t.Errorf("register %#x is %#x, want %#x", off, got, want)
		}
	}
	for _, structure := range []uint8{virtiotest.Common, virtiotest.Notify, virtiotest.ISR, virtiotest.Device} {
		if d.Address(structure) == 0 {
			t.Errorf("no capability for structure %d", structure)
		}
	}
	want := uint64(echoFeature | virtio.FeatureVersion1 | virtio.FeatureEventIdx | virtio.FeatureIndirectDesc | virtio.FeatureRingReset)
	if got := d.Offered(); got != want {
		t.Errorf("features %#x, want %#x", got, want)
	}
}

func TestDoorbellsOnPorts(t *testing.T) {
	d := virtiotest.NewOnPorts(t, new(echo))
	if got := d.Address(virtiotest.Notify); got != virtiotest.PortBase {
		t.Fatalf("the first capability of doorbells points to %#x", got)
	}
	d.Start(allFeatures)
	works(t, d, 0)
	works(t, d, 1)
	d.Migrate(func() virtio.Device { return new(echo) })
	works(t, d, 0)
	d.Ring(8, 2, 2) // no queue is there
	p := [4]byte{1, 2, 3, 4}
	if d.Ports.Read(virtiotest.PortBase, p[:]); p != [4]byte{} {
		t.Errorf("a doorbell reads as %x", p)
	}
	// A driver that cannot use ports finds the doorbells in memory too.
	r := d.Queues[1].Add([][]byte{[]byte("by memory")}, 16)
	d.Write(virtiotest.BARBase+0x3000+4, 2, 1)
	if got := r.Wait(); string(got) != "by memory" {
		t.Errorf("echo said %q", got)
	}
	if d.NeedsReset() {
		t.Error("the device needs a reset")
	}
}

func TestManyQueuesHaveNoPorts(t *testing.T) {
	d := virtiotest.NewOnPorts(t, &many{queues: 65})
	if got := d.Address(virtiotest.Notify); got < virtiotest.BARBase {
		t.Errorf("65 doorbells at port %#x, where there is room for 64", got)
	}
	d = virtiotest.NewOnPorts(t, &many{queues: 64})
	if got := d.Address(virtiotest.Notify); got != virtiotest.PortBase {
		t.Errorf("64 doorbells at %#x", got)
	}
}

// many is an echo with more queues, which it leaves alone.
type many struct {
	echo
	queues int
}

func (d *many) QueueSizes() []uint16 {
	sizes := make([]uint16, d.queues)
	for i := range sizes {
		sizes[i] = 8
	}
	return sizes
}

func TestStatusMachine(t *testing.T) {
	const ack, driver, ok, features, failed = virtio.StatusAcknowledge, virtio.StatusDriver, virtio.StatusDriverOK, virtio.StatusFeaturesOK, virtio.StatusFailed
	for _, test := range []struct {
		name     string
		features uint64
		writes   []uint8
		want     uint8
	}{
		{"usual order", virtio.FeatureVersion1, []uint8{ack, ack | driver, ack | driver | features}, ack | driver | features},
		{"all at once", virtio.FeatureVersion1, []uint8{ack | driver | features | ok}, ack | driver | features | ok},
		{"driver before acknowledge", virtio.FeatureVersion1, []uint8{driver}, 0},
		{"features before driver", virtio.FeatureVersion1, []uint8{ack, ack | features}, ack},
		{"driver-ok before features-ok", virtio.FeatureVersion1, []uint8{ack, ack | driver, ack | driver | ok}, ack | driver},
		{"without VERSION_1", 0, []uint8{ack, ack | driver, ack | driver | features | ok}, ack | driver},
		{"with an unknown feature", virtio.FeatureVersion1 | 1<<63, []uint8{ack | driver, ack | driver | features}, ack | driver},
		{"bits can't be taken back", virtio.FeatureVersion1, []uint8{ack | driver | features, ack}, ack | driver | features},
		{"reset", virtio.FeatureVersion1, []uint8{ack | driver | features, 0}, 0},
		{"failed", virtio.FeatureVersion1, []uint8{ack, ack | failed}, ack | failed},
		{"needs-reset is the device's", virtio.FeatureVersion1, []uint8{ack, ack | virtio.StatusNeedsReset}, ack},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := virtiotest.New(t, new(echo))
			for i := range uint64(2) {
				d.SetCommon(8, 4, i)
				d.SetCommon(0xc, 4, test.features>>(32*i)&0xffffffff)
			}
			for _, v := range test.writes {
				d.SetCommon(regStatus, 1, uint64(v))
			}
			if got := d.Status(); got != test.want {
				t.Fatalf("status %#x, want %#x", got, test.want)
			}
		})
	}
}

func TestFeaturesAreFixedOnceAccepted(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Negotiate(echoFeature)
	d.SetCommon(8, 4, 0)
	d.SetCommon(0xc, 4, 0)
	if got := d.Common(0xc, 4); got != echoFeature {
		t.Fatalf("features became %#x", got)
	}
}

func TestQueueRegisters(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Negotiate(allFeatures)
	size := func(v uint64) uint64 {
		d.SetCommon(regQueueSelect, 2, 1)
		d.SetCommon(regQueueSize, 2, v)
		return d.Common(regQueueSize, 2)
	}
	for _, v := range []uint64{0, 3, 16, 0xffff} {
		if got := size(v); got != 8 {
			t.Errorf("size %d was taken as %d", v, got)
		}
	}
	if got := size(4); got != 4 {
		t.Errorf("size 4 was taken as %d", got)
	}
	for v, want := range map[uint64]uint64{0: 0, 2: 2, 3: 0xffff, 0xffff: 0xffff} { // 2 queues and the configuration: 3 vectors
		for _, reg := range []int{regQueueVector, regConfigVector} {
			if d.SetCommon(reg, 2, v); d.Common(reg, 2) != want {
				t.Errorf("vector %#x at %#x reads back as %#x", v, reg, d.Common(reg, 2))
			}
		}
	}
	d.SetCommon(regQueueSelect, 2, 2)
	if d.Common(regQueueSize, 2) != 0 {
		t.Error("there is a queue 2")
	}
	d.SetCommon(regQueueEnable, 2, 1) // nowhere to go
	d.SetupQueue(0, 0)
	d.SetupQueue(1, 0)
	d.DriverOK()
	for reg, v := range map[int]uint64{regQueueSize: 2, regQueueDesc: 0xdead0000, regQueueEnable: 0} {
		before := d.Common(reg, 2)
		if d.SetCommon(reg, 2, v); d.Common(reg, 2) != before {
			t.Errorf("register %#x changed while the queue is live", reg)
		}
	}
	works(t, d, 0)
	works(t, d, 1)
}

// TestAnyWidth reads the common configuration in all widths and at all offsets, and compares with bytes.
func TestAnyWidth(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Start(allFeatures)
	d.SetDeviceConfig(0, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	base := d.Address(virtiotest.Common)
	for off := range uint64(0x6000 - 8) {
		if isr := d.Address(virtiotest.ISR) - base; off <= isr && isr < off+8 {
			continue // reading clears it
		}
		var want [8]byte
		for i := range want {
			want[i] = byte(d.Read(base+off+uint64(i), 1))
		}
		for width := 1; width <= 8; width++ {
			got := d.Read(base+off, width)
			if mask := ^uint64(0) >> (64 - 8*width); got != binary.LittleEndian.Uint64(want[:])&mask {
				t.Fatalf("%d bytes at %#x: %#x, by bytes %x", width, off, got, want)
			}
		}
	}
	if got := d.DeviceConfig(6, 4); got[0] != 7 || got[1] != 8 || got[2] != 0 || got[3] != 0 {
		t.Fatalf("the end of the configuration reads %v", got)
	}
	d.SetCommon(regQueueDesc+4, 4, 0x11223344) // queue 1 is live: no change
	works(t, d, 1)
}

func TestAddressesByHalves(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Negotiate(0)
	d.SetCommon(regQueueDesc, 4, 0x89abcdef)
	d.SetCommon(regQueueDesc+4, 4, 0x01234567)
	d.SetCommon(regQueueDesc+2, 1, 0x55)
	if got := d.Common(regQueueDesc, 8); got != 0x012345678955cdef {
		t.Fatalf("%#x", got)
	}
}

func TestBadRings(t *testing.T) {
	for name, spoil := range map[string]func(*virtiotest.Driver){
		"outside RAM": func(d *virtiotest.Driver) { d.SetCommon(regQueueDesc, 8, virtiotest.RAMSize) },
		"unaligned":   func(d *virtiotest.Driver) { d.SetCommon(regQueueDesc, 8, 0x10008) },
		"overflow":    func(d *virtiotest.Driver) { d.SetCommon(regQueueDesc, 8, ^uint64(0)&^15) },
	} {
		t.Run(name, func(t *testing.T) {
			d := virtiotest.New(t, new(echo))
			d.Negotiate(0)
			d.SetupQueue(1, 0)
			d.SetCommon(regQueueSelect, 2, 0)
			spoil(d)
			d.SetCommon(regQueueEnable, 2, 1)
			d.DriverOK()
			d.AwaitReset()
			if d.Interrupts.Count(virtiotest.ConfigVector) == 0 {
				t.Error("no configuration interrupt")
			}
			d.Start(0)
			works(t, d, 0)
		})
	}
}

func TestBrokenDevice(t *testing.T) {
	t.Run("hostile chain", func(t *testing.T) {
		d := virtiotest.New(t, new(echo))
		d.Start(0)
		works(t, d, 0)
		d.Queues[0].SetDescriptor(3, 0, 16, virtiotest.FlagNext, 3)
		d.Queues[0].Offer(3)
		d.Queues[0].Notify()
		d.AwaitReset()
		d.Start(0)
		works(t, d, 0)
	})
	t.Run("panic", func(t *testing.T) {
		dev := &echo{served: func() { panic("bug") }}
		d := virtiotest.New(t, dev)
		d.Start(0)
		d.Queues[0].Submit([][]byte{{1}})
		d.AwaitReset()
		d.Reset()
		dev.served = nil
		d.Start(0)
		works(t, d, 0)
	})
	t.Run("refuses activation", func(t *testing.T) {
		dev := &echo{refuse: true}
		d := virtiotest.New(t, dev)
		d.Negotiate(0)
		d.DriverOK()
		d.AwaitReset()
		dev.refuse = false
		d.Start(0)
		works(t, d, 0)
	})
}

// TestPanicUnderTheLock has a device panic in a vCPU's access: the driver is told that the device needs a reset, can give it one, and
// Close ends.
func TestPanicUnderTheLock(t *testing.T) {
	dev := &echo{crash: true}
	d := virtiotest.New(t, dev) // closes it in the end
	d.Negotiate(0)
	d.DriverOK()
	if !d.NeedsReset() {
		t.Error("the device panicked and does not need a reset")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.Start(0)
		works(t, d, 0)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		panic("the transport's lock is still held") // Close would hang too
	}
}

// TestResetWaits resets while a chain is in the device's hands: it must be let go before the reset is done.
func TestResetWaits(t *testing.T) {
	inHand, release := make(chan struct{}), make(chan struct{})
	finished := false
	dev := new(echo)
	dev.served = func() {
		close(inHand)
		<-release
		finished = true
	}
	d := virtiotest.New(t, dev)
	d.Start(0)
	d.Queues[0].Submit([][]byte{{1}}, 1)
	<-inHand
	reset := make(chan struct{})
	go func() {
		defer close(reset)
		d.SetCommon(regStatus, 1, 0)
	}()
	close(release)
	<-reset
	if !finished {
		t.Fatal("the reset was done before the worker was")
	}
	dev.served = nil
	d.Start(0)
	works(t, d, 0)
}

func TestConfigChange(t *testing.T) {
	dev := new(echo)
	d := virtiotest.New(t, dev)
	d.Start(0)
	before := d.Common(regGeneration, 1)
	dev.WriteConfig(0, []byte{42})
	dev.activation.ConfigChanged()
	d.AwaitConfigChange()
	if d.DeviceConfig(0, 1)[0] != 42 || d.Common(regGeneration, 1) == before {
		t.Fatal("neither value nor generation changed")
	}
}

func TestPin(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	for at := d.Config(0x34, 1); at != 0; at = d.Config(int(at)+1, 1) {
		if d.Config(int(at), 1) == pci.CapMSIX {
			d.SetConfig(int(at)+2, 2, 0)
		}
	}
	d.Start(0)
	interrupted := func() bool { return d.Config(6, 2)&8 != 0 }
	d.Queues[0].Submit([][]byte{{1}}, 1)
	d.Transport.Pause() // the worker has published by then, or will at once after
	d.Transport.Resume()
	for d.Queues[0].Poll() == nil {
		d.Transport.Pause()
		d.Transport.Resume()
	}
	d.Transport.Pause()
	if !interrupted() {
		t.Fatal("the pin is not asserted")
	}
	if isr := d.Read(d.Address(virtiotest.ISR), 1); isr != 1 {
		t.Fatalf("ISR %d", isr)
	}
	if interrupted() || d.Read(d.Address(virtiotest.ISR), 1) != 0 {
		t.Fatal("reading did not clear the ISR")
	}
	if d.Interrupts.Count(1) != 0 {
		t.Fatal("a message was sent with MSI-X disabled")
	}
}

// TestConfigurationAccess reaches the registers through PCI configuration space, as firmware does with an unmapped BAR.
func TestConfigurationAccess(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	window := 0
	for at := d.Config(0x34, 1); at != 0; at = d.Config(int(at)+1, 1) {
		if d.Config(int(at), 1) == pci.CapVendor && d.Config(int(at)+3, 1) == 5 {
			window = int(at)
		}
	}
	if window == 0 {
		t.Fatal("no capability")
	}
	d.SetConfig(4, 2, 0) // the BAR is not decoded
	access := func(off, width uint64) {
		d.SetConfig(window+4, 1, 0)
		d.SetConfig(window+8, 4, off)
		d.SetConfig(window+12, 4, width)
	}
	access(regStatus, 1)
	d.SetConfig(window+16, 1, 1)
	if got := d.Config(window+16, 1); got != 1 {
		t.Fatalf("status through the window is %#x", got)
	}
	access(0x12, 2)
	if got := d.Config(window+16, 2); got != 2 {
		t.Fatalf("%d queues through the window", got)
	}
	for _, bad := range [][3]uint64{{0, 3, 0}, {2, 4, 0}, {0x8000, 4, 0}, {0xfffffffc, 4, 0}, {0, 4, 1}} {
		access(bad[0], bad[1])
		d.SetConfig(window+4, 1, bad[2])
		d.SetConfig(window+16, 4, 0) // would reset
		d.Config(window+16, 4)
	}
	d.SetConfig(4, 2, 2)
	if d.Status() != 1 {
		t.Fatal("an access that is out of place had an effect")
	}
}

// TestMovedBAR holds that doorbells and registers go where the guest moves them, while the device runs.
func TestMovedBAR(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Start(allFeatures)
	for _, to := range []uint64{0xd000_0000, 0xc123_0000, 0xc000_0000} {
		d.MoveBAR(to)
		works(t, d, 0)
		works(t, d, 1)
	}
}

func TestRingReset(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Start(allFeatures)
	works(t, d, 0)
	for range 3 {
		d.SetCommon(regQueueSelect, 2, 0)
		d.SetCommon(regQueueReset, 2, 1)
		if d.Common(regQueueReset, 2) != 0 || d.Common(regQueueEnable, 2) != 0 {
			t.Fatal("the queue was not reset")
		}
		works(t, d, 1)
		d.SetupQueue(0, 16)
		works(t, d, 0)
	}
	d.SetCommon(regQueueSelect, 2, 0)
	d.SetCommon(regQueueReset, 2, 1)
	d.Migrate(func() virtio.Device { return new(echo) })
	works(t, d, 1)
	d.SetupQueue(0, 0)
	works(t, d, 0)
}

func TestSnapshotCycle(t *testing.T) {
	virtiotest.SnapshotCycle(t, func() virtio.Device { return new(echo) }, func(t *testing.T, d *virtiotest.Driver) {
		if d.Status() == 0 {
			d.Start(allFeatures)
			d.SetDeviceConfig(3, []byte("abc"))
		}
		for range 100 {
			works(t, d, 0)
			works(t, d, 1)
		}
		if got := string(d.DeviceConfig(3, 3)); got != "abc" {
			t.Fatalf("configuration %q", got)
		}
	})
}

// TestSnapshotWithWork saves while chains wait that no worker has seen.
func TestSnapshotWithWork(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Start(allFeatures)
	works(t, d, 0)
	d.Transport.Pause()
	r := d.Queues[0].Submit([][]byte{[]byte("in between")}, 20)
	d.Migrate(func() virtio.Device { return new(echo) })
	if got := string(r.Wait()); got != "in between" {
		t.Fatalf("%q", got)
	}
}

func TestRestoreRefusesOtherDevices(t *testing.T) {
	d := virtiotest.New(t, new(echo))
	d.Start(0)
	saved := d.Save()
	other := virtiotest.New(t, new(otherDevice))
	if err := other.Restore(saved); err == nil || !strings.Contains(err.Error(), "corrupt device state") {
		t.Fatal(err)
	}
	other.Start(0)
	works(t, other, 0)
}

// otherDevice is an echo device of another type.
type otherDevice struct{ echo }

func (*otherDevice) Type() uint16 { return 0x3e }

// TestComplaintsAreBounded breaks the device again and again: the log stays short.
func TestComplaintsAreBounded(t *testing.T) {
	var log strings.Builder
	d := virtiotest.New(t, new(echo))
	tr, err := transport.New(&echo{refuse: true}, transport.Config{
		Name: "disk 7", Memory: d.Memory, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	set := func(off uint64, v byte) { tr.Write(off, []byte{v}) }
	for range 100 {
		set(regStatus, 0)
		set(8, 1)   // the upper half
		set(0xc, 1) // VERSION_1
		set(regStatus, 0xf)
	}
	if n := strings.Count(log.String(), "not today"); n == 0 || n > 20 || !strings.Contains(log.String(), "disk 7") {
		t.Fatalf("%d lines: %s", n, log.String())
	}
}
