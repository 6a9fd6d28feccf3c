package net_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/network"
	"github.com/sharevm/vmm/network/linktest"
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/virtio/net"
	"github.com/sharevm/vmm/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	featureChecksum  = 1 << 0
	featureGuestCsum = 1 << 1
	featureOffloads  = 1 << 2
	featureMTU       = 1 << 3
	featureMAC       = 1 << 5
	featureGuestTSO4 = 1 << 7
	featureHostTSO4  = 1 << 11
	featureMergeable = 1 << 15
	featureCtrlQueue = 1 << 17
	featureCtrlRX    = 1 << 18
	featureAnnounce  = 1 << 21
	featureMQ        = 1 << 22
	featureCtrlMAC   = 1 << 23
	allFeatures      = 1<<50 - 1

	tso = network.OffloadChecksum | network.OffloadTSO4 | network.OffloadTSO6 | network.OffloadECN
)

var mac = [6]byte{0x52, 0x54, 0, 1, 2, 3}

func newDevice(t testing.TB, c net.Config) *net.Device {
	t.Helper()
	c.MAC = mac
	d, err := net.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// start returns a running driver of a card on the links.
func start(t testing.TB, features uint64, links ...network.Link) (*virtiotest.Driver, *net.Device) {
	t.Helper()
	device := newDevice(t, net.Config{Links: links})
	d := virtiotest.New(t, device)
	d.Start(features)
	return d, device
}

// frame is a header of zeroes and n bytes of Ethernet frame.
func frame(seed byte, n int) []byte {
	f := make([]byte, network.HeaderLen+n)
	for i := range n {
		f[network.HeaderLen+i] = seed ^ byte(i) ^ byte(i>>8)*13
	}
	return f
}

// payload is a received frame without its header.
func payload(data []byte) []byte { return data[network.HeaderLen:] }

func cuts(p []byte, lengths ...int) (pieces [][]byte) {
	for _, n := range lengths {
		pieces = append(pieces, p[:n])
		p = p[n:]
	}
	return append(pieces, p)
}

func TestTransmit(t *testing.T) {
	link := linktest.New(tso)
	d, device := start(t, allFeatures, link)
	large := frame(1, 65535+14)
	binary.LittleEndian.PutUint16(large[4:], 1448)
	frames := []struct {
		whole  []byte
		pieces [][]byte
	}{
		{frame(2, 60), cuts(frame(2, 60), 12)},
		{frame(3, 1514), cuts(frame(3, 1514))},
		{frame(4, 100), cuts(frame(4, 100), 1, 3, 8, 14)},
		{frame(5, 14), cuts(frame(5, 14), 20)},
		{large, cuts(large, 12, 4096, 40000)},
	}
	for i, f := range frames {
		r := d.Queues[1].Submit(f.pieces)
		if r.Wait(); r.Written != 0 {
			t.Errorf("frame %d: %d bytes used of a buffer that cannot be written", i, r.Written)
		}
		if got := link.Sent(i + 1)[i]; !bytes.Equal(got, f.whole) {
			t.Errorf("frame %d: %d bytes arrived, not the %d sent", i, len(got), len(f.whole))
		}
	}
	if s := device.Stats(); s.TxFrames != 5 || s.TxBytes != 60+1514+100+14+65549 || s.TxDropped != 0 {
		t.Errorf("%+v", s)
	}
}

func TestTransmitDropsWhatIsNoFrame(t *testing.T) {
	link := linktest.New(0)
	d, device := start(t, allFeatures, link)
	q := d.Queues[1]
	q.Submit([][]byte{make([]byte, 1)}).Wait()
	q.Submit([][]byte{make([]byte, 11)}).Wait()
	q.Submit([][]byte{make([]byte, 12)}).Wait()                         // no frame
	q.Submit([][]byte{make([]byte, 12), make([]byte, 13)}).Wait()       // no Ethernet header
	q.Submit([][]byte{make([]byte, 12), make([]byte, 65536+14)}).Wait() // too long
	q.Submit([][]byte{make([]byte, 60000), make([]byte, 60000)}).Wait() // too long
	q.Submit(nil, 100).Wait()                                           // a buffer for receiving
	q.Submit([][]byte{frame(7, 60)}).Wait()
	if got := link.Sent(1)[0]; !bytes.Equal(got, frame(7, 60)) {
		t.Error("a frame that is one did not arrive first")
	}
	if s := device.Stats(); s.TxDropped != 7 || s.TxFrames != 1 {
		t.Errorf("%+v", s)
	}
}

func TestReceive(t *testing.T) {
	link := linktest.New(0)
	d, device := start(t, allFeatures&^featureMergeable, link)
	q := d.Queues[0]
	for i, buffers := range [][]int{{1526}, {12, 1514}, {1, 5, 5, 1, 1514}, {2000, 2000}, {1526}} {
		r := q.Submit(nil, buffers...)
		sent := frame(byte(i), 60+i*300)
		sent[10], sent[11] = 0xff, 0xff // a link may leave anything there
		link.DeliverWhole(sent)
		got := r.Wait()
		if r.Written != len(sent) || !bytes.Equal(payload(got), payload(sent)) {
			t.Errorf("buffers %v: %d bytes of %d, or other ones", buffers, r.Written, len(sent))
		}
		if n := binary.LittleEndian.Uint16(got[10:]); n != 1 {
			t.Errorf("buffers %v: num_buffers %d", buffers, n)
		}
	}
	if s := device.Stats(); s.RxFrames != 5 || s.RxDropped != 0 {
		t.Errorf("%+v", s)
	}
}

// A frame takes as many mergeable buffers as it needs, all but the last to the full, and the others wait for the next frame.
func TestReceiveMergeable(t *testing.T) {
	link := linktest.New(tso)
	d, _ := start(t, allFeatures, link)
	q := d.Queues[0]
	var posted []*virtiotest.Request
	post := func() {
		for q.Outstanding() < 60 {
			posted = append(posted, q.Submit(nil, 7, 1500-7))
		}
	}
	for i, n := range []int{60, 1488, 1489, 5000, 65535 + 14, 100} {
		post()
		sent := frame(byte(i), n)
		link.DeliverWhole(sent)
		want := (len(sent) + 1499) / 1500
		var got []byte
		for k := range want {
			data := posted[k].Wait()
			if k < want-1 && len(data) != 1500 {
				t.Errorf("frame of %d: buffer %d of %d is not full", n, k, want)
			}
			got = append(got, data...)
		}
		if !bytes.Equal(payload(got), payload(sent)) {
			t.Errorf("frame of %d did not arrive as it was sent", n)
		}
		if num := int(binary.LittleEndian.Uint16(got[10:])); num != want {
			t.Errorf("frame of %d: num_buffers %d, want %d", n, num, want)
		}
		posted = posted[want:]
	}
}

// While the guest has posted less than the largest frame may need, frames wait in the link.
func TestReceiveWaitsForBuffers(t *testing.T) {
	link := linktest.New(tso)
	d, device := start(t, allFeatures, link)
	q := d.Queues[0]
	link.DeliverWhole(frame(1, 60000))
	var posted []*virtiotest.Request
	for range 10 {
		posted = append(posted, q.Submit(nil, 4096))
	}
	d.Transport.Pause()
	if link.Waiting() != 1 {
		t.Error("a frame was taken from the link without room for it")
	}
	d.Transport.Resume()
	for range 10 {
		posted = append(posted, q.Submit(nil, 4096))
	}
	posted[0].Wait()
	if s := device.Stats(); s.RxFrames != 1 || s.RxDropped != 0 {
		t.Errorf("%+v", s)
	}
}

// A ring that cannot hold the largest frame takes the smaller ones.
func TestReceiveSmallRing(t *testing.T) {
	link := linktest.New(tso)
	d := virtiotest.New(t, newDevice(t, net.Config{Links: []network.Link{link}, QueueSize: 4}))
	d.Start(allFeatures)
	var posted []*virtiotest.Request
	for range 4 {
		posted = append(posted, d.Queues[0].Submit(nil, 1500))
	}
	link.DeliverWhole(frame(1, 60000))
	link.DeliverWhole(frame(2, 60))
	if got := posted[0].Wait(); !bytes.Equal(payload(got), payload(frame(2, 60))) {
		t.Error("the small frame did not arrive")
	}
}

func TestReceiveBufferWithoutRoomForHeader(t *testing.T) {
	for _, features := range []uint64{allFeatures, allFeatures &^ featureMergeable} {
		d, _ := start(t, features, linktest.New(0))
		d.Queues[0].Submit(nil, 11)
		d.AwaitReset()
		d.Start(features)
		d.Queues[0].Submit([][]byte{make([]byte, 2000)}) // not writable at all
		d.AwaitReset()
	}
}

func TestFeatures(t *testing.T) {
	tests := []struct {
		name          string
		links         []network.Link
		mtu           int
		want, without uint64
	}{
		{"no offloads", []network.Link{linktest.New(0)}, 0,
			featureMAC | featureMergeable | featureCtrlQueue, featureChecksum | featureGuestCsum | featureOffloads | featureMTU | featureMQ},
		{"all offloads", []network.Link{linktest.New(tso)}, 1400, featureChecksum | featureGuestCsum | featureHostTSO4 | featureGuestTSO4 | featureOffloads | featureMTU, featureMQ},
		{"segmentation without checksums", []network.Link{linktest.New(network.OffloadTSO4)}, 0, 0, featureHostTSO4 | featureGuestTSO4 | featureChecksum},
		{"ECN without segmentation", []network.Link{linktest.New(network.OffloadChecksum | network.OffloadECN)}, 0, featureChecksum, 1<<9 | 1<<13},
		{"what both links have", []network.Link{linktest.New(tso), linktest.New(network.OffloadChecksum)}, 0, featureChecksum | featureMQ, featureHostTSO4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := virtiotest.New(t, newDevice(t, net.Config{Links: test.links, MTU: test.mtu}))
			if f := d.Offered(); f&test.want != test.want || f&test.without != 0 {
				t.Errorf("offered %#x, want %#x and not %#x", f, test.want, test.without)
			}
			c := d.DeviceConfig(0, 12)
			if !bytes.Equal(c[:6], mac[:]) || c[6] != 1 || int(c[8]) != len(test.links) || int(binary.LittleEndian.Uint16(c[10:])) != test.mtu {
				t.Errorf("configuration % x", c)
			}
			d.SetDeviceConfig(0, make([]byte, 12))
			if after := d.DeviceConfig(0, 12); !bytes.Equal(c, after) {
				t.Errorf("a driver changed the configuration to % x", after)
			}
		})
	}
}

// What the driver copes with reaches the link, at the start, by command, and no longer after a reset.
func TestGuestOffloads(t *testing.T) {
	link := linktest.New(tso)
	d, _ := start(t, allFeatures, link)
	if link.Copes() != tso {
		t.Errorf("after start: %b", link.Copes())
	}
	control := d.Queues[2]
	set := func(features uint64) byte {
		return ack(control, binary.LittleEndian.AppendUint64([]byte{5, 0}, features))
	}
	if a := set(featureGuestCsum); a != 0 || link.Copes() != network.OffloadChecksum {
		t.Errorf("checksum only: ack %d, %b", a, link.Copes())
	}
	if a := set(1 << 54); a != 1 || link.Copes() != network.OffloadChecksum {
		t.Errorf("unknown offload: ack %d, %b", a, link.Copes())
	}
	if a := set(0); a != 0 || link.Copes() != 0 {
		t.Errorf("none: ack %d, %b", a, link.Copes())
	}
	set(featureGuestCsum)
	d.Reset()
	if link.Copes() != 0 {
		t.Errorf("after a reset: %b", link.Copes())
	}
	d.Start(allFeatures &^ featureGuestCsum) // segmentation without checksums makes no sense
	if link.Copes() != 0 {
		t.Errorf("without checksums: %b", link.Copes())
	}
}

// ack sends a control command and returns the answer.
func ack(q *virtiotest.Queue, command ...[]byte) byte {
	r := q.Submit(command, 1)
	return r.Wait()[0]
}

func TestControl(t *testing.T) {
	table := func(unicast, multicast int) []byte {
		b := binary.LittleEndian.AppendUint32([]byte{1, 0}, uint32(unicast))
		b = append(b, make([]byte, 6*unicast)...)
		b = binary.LittleEndian.AppendUint32(b, uint32(multicast))
		return append(b, make([]byte, 6*multicast)...)
	}
	tests := []struct {
		name    string
		without uint64
		command []byte
		want    byte
	}{
		{"promiscuous", 0, []byte{0, 0, 1}, 0},
		{"not promiscuous", 0, []byte{0, 0, 0}, 0},
		{"all multicast", 0, []byte{0, 1, 1}, 0},
		{"promiscuous 2", 0, []byte{0, 0, 2}, 1},
		{"promiscuous without a value", 0, []byte{0, 0}, 1},
		{"promiscuous with too much", 0, []byte{0, 0, 1, 1}, 1},
		{"promiscuous, not negotiated", featureCtrlRX, []byte{0, 0, 1}, 1},
		{"extra modes", 0, []byte{0, 3, 1}, 1},
		{"MAC table", 0, table(3, 40), 0},
		{"empty MAC table", 0, table(0, 0), 0},
		{"MAC table cut short", 0, table(3, 40)[:100], 1},
		{"half a MAC table", 0, table(3, 0)[:24], 1},
		{"MAC table with a lying count", 0, []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1},
		{"MAC address", 0, []byte{1, 1, 2, 2, 2, 2, 2, 2}, 0},
		{"short MAC address", 0, []byte{1, 1, 2, 2, 2, 2, 2}, 1},
		{"MAC address, not negotiated", featureCtrlMAC, []byte{1, 1, 2, 2, 2, 2, 2, 2}, 1},
		{"VLAN", 0, []byte{2, 0, 1, 0}, 1},
		{"announced", 0, []byte{3, 0}, 0},
		{"pairs, not negotiated", 0, []byte{4, 0, 1, 0}, 1},
		{"short offloads", 0, []byte{5, 0, 0, 0}, 1},
		{"unknown class", 0, []byte{77, 0}, 1},
		{"no command", 0, []byte{0}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d, _ := start(t, allFeatures&^test.without, linktest.New(tso))
			q := d.Queues[2]
			if a := ack(q, test.command); a != test.want {
				t.Errorf("in one piece: ack %d, want %d", a, test.want)
			}
			if len(test.command) > 2 {
				if a := ack(q, cuts(test.command, 1, 1)...); a != test.want {
					t.Errorf("in pieces: ack %d, want %d", a, test.want)
				}
			}
		})
	}
}

func TestSetMAC(t *testing.T) {
	d, _ := start(t, allFeatures, linktest.New(0))
	ack(d.Queues[2], []byte{1, 1, 2, 4, 6, 8, 10, 12})
	if c := d.DeviceConfig(0, 6); !bytes.Equal(c, []byte{2, 4, 6, 8, 10, 12}) {
		t.Errorf("MAC address % x", c)
	}
	d.Reset()
	if c := d.DeviceConfig(0, 6); !bytes.Equal(c, mac[:]) {
		t.Errorf("MAC address after a reset % x", c)
	}
}

func TestControlWithoutAck(t *testing.T) {
	d, _ := start(t, allFeatures, linktest.New(0))
	d.Queues[2].Submit([][]byte{{0, 0, 1}})
	d.AwaitReset()
}

func TestMultiQueue(t *testing.T) {
	a, b := linktest.New(0), linktest.New(0)
	d, _ := start(t, allFeatures&^featureMergeable, a, b)
	control := d.Queues[4]
	pairs := func(n byte) byte { return ack(control, []byte{4, 0, n, 0}) }
	second := d.Queues[2].Submit(nil, 1526)
	b.DeliverWhole(frame(1, 60))
	d.Queues[0].Submit(nil, 1526)
	a.DeliverWhole(frame(2, 60))
	d.Queues[0].Next()
	if d.Queues[2].Poll() != nil {
		t.Error("a pair that is not in use received a frame")
	}
	for _, n := range []byte{0, 3} {
		if pairs(n) != 1 {
			t.Errorf("%d pairs were accepted", n)
		}
	}
	if pairs(2) != 0 {
		t.Fatal("two pairs were refused")
	}
	if got := second.Wait(); !bytes.Equal(payload(got), payload(frame(1, 60))) {
		t.Error("the second pair got another frame")
	}
	d.Queues[3].Submit([][]byte{frame(3, 60)}).Wait()
	b.Sent(1)
	if pairs(1) != 0 {
		t.Fatal("one pair was refused")
	}
	d.Queues[2].Submit(nil, 1526)
	b.DeliverWhole(frame(4, 60))
	d.Queues[1].Submit([][]byte{frame(5, 60)}).Wait()
	if d.Queues[2].Poll() != nil || b.Waiting() != 1 {
		t.Error("a pair that is no longer in use received a frame")
	}

	// Without MQ the control queue follows the first pair (section 5.1.2).
	d.Start(allFeatures &^ featureMQ)
	if ack(d.Queues[2], []byte{0, 0, 1}) != 0 {
		t.Error("no control queue behind the first pair")
	}
}

func linkUp(d *virtiotest.Driver) bool { return d.DeviceConfig(6, 1)[0]&1 != 0 }

func TestLinkFailure(t *testing.T) {
	broken := errors.New("cable cut")
	for name, fail := range map[string]func(l *linktest.Link){
		"read error":  func(l *linktest.Link) { l.Fail(broken, nil) },
		"write error": func(l *linktest.Link) { l.Fail(nil, broken) },
		"closed":      func(l *linktest.Link) { _ = l.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			link := linktest.New(0)
			d, device := start(t, allFeatures, link)
			for range 8 {
				d.Queues[0].Submit(nil, 1526)
			}
			fail(link)
			r := d.Queues[1].Submit([][]byte{frame(1, 60)})
			d.AwaitConfigChange()
			r.Wait()
			if linkUp(d) || device.LinkUp() || d.NeedsReset() {
				t.Errorf("link up %v, status %#x", linkUp(d), d.Status())
			}
			d.Queues[1].Submit([][]byte{frame(1, 60)}).Wait() // the card drains the guest's frames
			d.Start(allFeatures)
			device.SetLink(true)
			if linkUp(d) {
				t.Error("a failed link came back")
			}
		})
	}
}

func TestSetLink(t *testing.T) {
	link := linktest.New(0)
	d, device := start(t, allFeatures&^featureMergeable, link)
	device.SetLink(false)
	d.AwaitConfigChange()
	if linkUp(d) {
		t.Error("the link is up")
	}
	r := d.Queues[0].Submit(nil, 1526)
	link.DeliverWhole(frame(1, 60))
	d.Queues[1].Submit([][]byte{frame(2, 60)}).Wait()
	link.AwaitTaken(1)
	d.Transport.Pause() // and dropped it
	device.SetLink(true)
	d.Transport.Resume()
	d.AwaitConfigChange()
	link.DeliverWhole(frame(3, 60))
	if got := r.Wait(); !bytes.Equal(payload(got), payload(frame(3, 60))) {
		t.Error("a frame came through an unplugged cable")
	}
	d.Queues[1].Submit([][]byte{frame(4, 60)}).Wait()
	if got := link.Sent(1)[0]; !bytes.Equal(got, frame(4, 60)) {
		t.Error("a frame left through an unplugged cable")
	}
	if s := device.Stats(); s.RxDropped != 1 || s.TxDropped != 1 {
		t.Errorf("%+v", s)
	}
}

func TestStartsUnplugged(t *testing.T) {
	device := newDevice(t, net.Config{Links: []network.Link{linktest.New(0)}, LinkDown: true})
	d := virtiotest.New(t, device)
	d.Start(allFeatures)
	if linkUp(d) || device.LinkUp() {
		t.Error("the link is up")
	}
	device.SetLink(true)
	d.AwaitConfigChange()
	if !linkUp(d) || !device.LinkUp() {
		t.Error("the link is down")
	}
}

func TestAnnounce(t *testing.T) {
	d, device := start(t, allFeatures, linktest.New(0))
	device.Announce()
	d.AwaitConfigChange()
	if s := d.DeviceConfig(6, 1)[0]; s != 3 {
		t.Errorf("status %d", s)
	}
	ack(d.Queues[2], []byte{3, 0})
	if s := d.DeviceConfig(6, 1)[0]; s != 1 {
		t.Errorf("status %d after the driver's answer", s)
	}
	d.Start(allFeatures &^ featureAnnounce)
	device.Announce()
	if s := d.DeviceConfig(6, 1)[0]; s != 1 {
		t.Errorf("status %d, not negotiated", s)
	}
}

// A reset reaches a receiver that waits for a frame with the guest's buffers in hand, and one that waits for buffers.
func TestResetWhileReceiving(t *testing.T) {
	link := linktest.New(0)
	d, _ := start(t, allFeatures, link)
	for range 3 {
		d.Queues[0].Submit(nil, 4096)
		d.Start(allFeatures)
	}
	r := d.Queues[0].Submit(nil, 4096)
	link.DeliverWhole(frame(1, 60))
	if got := r.Wait(); !bytes.Equal(payload(got), payload(frame(1, 60))) {
		t.Error("after resets: another frame")
	}
}

func TestSnapshotCycle(t *testing.T) {
	var links []*linktest.Link // of the latest device
	address := []byte{2, 4, 6, 8, 10, 12}
	step := byte(0)
	virtiotest.SnapshotCycle(t,
		func() virtio.Device {
			links = []*linktest.Link{linktest.New(tso), linktest.New(tso)}
			return newDevice(t, net.Config{Links: []network.Link{links[0], links[1]}})
		},
		func(t *testing.T, d *virtiotest.Driver) {
			if d.Queues == nil {
				d.Start(allFeatures)
				control := d.Queues[4]
				for _, command := range [][]byte{append([]byte{1, 1}, address...), {4, 0, 2, 0}, {5, 0, 2, 0, 0, 0, 0, 0, 0, 0}} {
					if ack(control, slices.Clone(command)) != 0 {
						t.Fatalf("command % x was refused", command)
					}
				}
			}
			step++
			for i, link := range links {
				rx, tx := d.Queues[2*i], d.Queues[2*i+1]
				for rx.Outstanding() < 3 { // held over the snapshot
					rx.Submit(nil, 2048)
				}
				link.DeliverWhole(frame(step, 100))
				if got := rx.Next().Data(); !bytes.Equal(payload(got), payload(frame(step, 100))) {
					t.Errorf("pair %d received another frame", i)
				}
				tx.Submit([][]byte{frame(step, 200)}).Wait()
				if got := link.Sent(1); !bytes.Equal(got[len(got)-1], frame(step, 200)) {
					t.Errorf("pair %d sent another frame", i)
				}
				if link.Copes() != network.OffloadChecksum {
					t.Errorf("link %d: offloads %b", i, link.Copes())
				}
			}
			if c := d.DeviceConfig(0, 6); !bytes.Equal(c, address) {
				t.Errorf("MAC address % x", c)
			}
		})
}

func TestPanickingLink(t *testing.T) {
	link := linktest.New(0)
	d, _ := start(t, allFeatures, link)
	link.Panic(true)
	d.Queues[1].Submit([][]byte{frame(1, 60)})
	d.AwaitReset()
	link.Panic(false)
	d.Start(allFeatures)
	d.Queues[1].Submit([][]byte{frame(2, 60)}).Wait()
	link.Sent(1)
}

func TestNewRefuses(t *testing.T) {
	one := []network.Link{linktest.New(0)}
	for name, c := range map[string]net.Config{
		"no link":       {},
		"many links":    {Links: slices.Repeat(one, 17)},
		"queue size":    {Links: one, QueueSize: 3},
		"small MTU":     {Links: one, MTU: 67},
		"large MTU":     {Links: one, MTU: 65536},
		"multicast MAC": {Links: one, MAC: [6]byte{1}},
	} {
		if _, err := net.New(c); err == nil || !strings.HasPrefix(err.Error(), "virtio-net: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
