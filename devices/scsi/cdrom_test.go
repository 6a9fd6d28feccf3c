package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

func TestDisc(t *testing.T) {
	img := newImage(300 * cdBlock)
	copy(img.data, pattern(len(img.data)))
	d := newCD(t, CDROMConfig{Image: img})
	_, p := run(d, []byte{opReadCapacity10}, nil, 8)
	if binary.BigEndian.Uint32(p) != 299 || binary.BigEndian.Uint32(p[4:]) != cdBlock {
		t.Errorf("capacity %x", p)
	}
	for _, c := range [][]byte{cdb(opRead10, 7, 3, 0), cdb(opRead12, 7, 3, 0), {opReadCD, 0, 0, 0, 0, 7, 0, 0, 3, 0x10}, {opReadCDMSF, 0, 0, 0, 2, 7, 0, 2, 10, 0x10}} {
		o, p := run(d, c, nil, 4*cdBlock)
		check(t, "read", o, senseNone, 3*cdBlock)
		if !bytes.Equal(p[:3*cdBlock], img.data[7*cdBlock:10*cdBlock]) {
			t.Errorf("%x: other data", c)
		}
	}
	c, p := run(d, []byte{opReadCD, 0, 0, 0, 0, 80, 0, 0, 2, 0xf8}, nil, 2*rawBlock)
	check(t, "raw", c, senseNone, 2*rawBlock)
	if !bytes.Equal(p[rawBlock+16:rawBlock+16+cdBlock], img.data[81*cdBlock:82*cdBlock]) || !bytes.Equal(p[12:16], []byte{0, 3, 5, 1}) {
		t.Errorf("raw sector %x", p[:20])
	}
	for _, test := range []struct {
		name string
		cdb  []byte
		want Sense
	}{
		{"beyond", cdb(opRead10, 299, 2, 0), senseBadLBA},
		{"too much", cdb(opRead12, 0, 1<<31, 0), senseBadLBA},
		{"audio", []byte{opReadCD, 1 << 2, 0, 0, 0, 0, 0, 0, 1, 0x10}, senseBadTrackMode},
		{"sub-channels", []byte{opReadCD, 0, 0, 0, 0, 0, 0, 0, 1, 0x10, 1}, senseBadField},
		{"before the start", []byte{opReadCDMSF, 0, 0, 0, 1, 74, 0, 2, 0, 0x10}, senseBadField},
		{"write", cdb(opWrite10, 0, 1, 0), senseBadOpcode},
		{"track 2", []byte{opReadTOC, 0, 0, 0, 0, 0, 2, 0, 20}, senseBadField},
		{"a CD has no DVD structure", []byte{opReadDVDStructure, 9: 20}, Sense{keyIllegal, 0x30, 2}},
	} {
		c, _ := run(d, test.cdb, nil, 4096)
		check(t, test.name, c, test.want, 0)
	}
	img.fail = errors.New("scratched")
	c, _ = run(d, cdb(opRead10, 9, 1, 0), nil, cdBlock)
	check(t, "fault", c, senseReadFault, 0)
	if binary.BigEndian.Uint32(c.Sense[3:]) != 9 {
		t.Errorf("sense %x", c.Sense)
	}
}

func TestTOC(t *testing.T) {
	d := newCD(t, CDROMConfig{Image: newImage(300 * cdBlock)})
	for _, test := range []struct {
		name string
		cdb  []byte
		want []byte
	}{
		{"blocks", []byte{opReadTOC, 0, 0, 0, 0, 0, 0, 0, 99}, []byte{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 1, 44}},
		{"time", []byte{opReadTOC, 2, 0, 0, 0, 0, 1, 0, 99}, []byte{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 6, 0}},
		{"lead-out", []byte{opReadTOC, 0, 0, 0, 0, 0, 0xaa, 0, 99}, []byte{0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 1, 44}},
		{"short", []byte{opReadTOC, 0, 0, 0, 0, 0, 0, 0, 4}, []byte{0, 18, 1, 1}},
		{"session", []byte{opReadTOC, 0, 1, 0, 0, 0, 0, 0, 99}, []byte{0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
		{"session as SFF-8020 has it", []byte{opReadTOC, 0, 0, 0, 0, 0, 0, 0, 99, 0x40}, []byte{0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0}},
	} {
		c, p := run(d, test.cdb, nil, 99)
		check(t, test.name, c, senseNone, len(test.want))
		if !bytes.Equal(p[:c.Moved], test.want) {
			t.Errorf("%s: %x", test.name, p[:c.Moved])
		}
	}
}

func TestTray(t *testing.T) {
	img := newImage(300 * cdBlock)
	d := newCD(t, CDROMConfig{Image: img})
	command := func(want Sense, cdb ...byte) []byte {
		t.Helper()
		c, p := run(d, cdb, nil, 64)
		check(t, "command", c, want, -1)
		return p
	}
	ready := func(want Sense) { t.Helper(); command(want, opTestUnitReady) }
	event := func(code, status uint8) {
		t.Helper()
		if p := command(senseNone, opGetEventStatus, 1, 0, 0, 1<<4, 0, 0, 0, 8); p[4] != code || p[5] != status {
			t.Errorf("event %x, want %d %d", p[:8], code, status)
		}
	}
	ready(senseNone)
	event(eventNone, 2)
	command(senseNone, opPreventRemoval, 0, 0, 0, 1)
	command(senseLocked, opStartStop, 0, 0, 0, 2)
	ready(senseNone)
	command(senseNone, opPreventRemoval)
	command(senseNone, opStartStop, 0, 0, 0, 2)
	event(eventRemoved, 1)
	ready(senseTrayOpen)
	if d.Present() {
		t.Error("an open tray holds a disc")
	}
	command(senseNone, opStartStop, 0, 0, 0, 3)
	event(eventNew, 2)
	event(eventNone, 2)
	ready(senseMediumChanged)
	ready(senseNone)
	if old := d.Insert(nil); old != img {
		t.Error("another disc came out")
	}
	ready(senseMediumChanged)
	ready(senseNoMedium)
	command(senseNoMedium, opRead10)
	event(eventRemoved, 0)
	d.Insert(newImage(2 * cdBlock))
	ready(senseMediumChanged)
	if p := command(senseNone, opReadCapacity10); p[3] != 1 {
		t.Errorf("capacity %x", p[:8])
	}
}

func TestKeptSense(t *testing.T) {
	d := newCD(t, CDROMConfig{KeepSense: true})
	c, _ := run(d, []byte{opTestUnitReady}, nil, 0)
	check(t, "no disc", c, senseNoMedium, 0)
	c, p := run(d, []byte{opRequestSense, 0, 0, 0, 18}, nil, 18)
	check(t, "request sense", c, senseNone, 18)
	if p[2] != keyNotReady || p[12] != 0x3a {
		t.Errorf("%x", p)
	}
	if _, p = run(d, []byte{opRequestSense, 0, 0, 0, 18}, nil, 18); p[2] != 0 {
		t.Errorf("told twice: %x", p)
	}
}

func TestConfiguration(t *testing.T) {
	for _, test := range []struct {
		image   *fakeImage
		profile uint16
	}{{nil, 0}, {newImage(cdBlock), profileCD}, {newImage(maxCD + cdBlock), profileDVD}} {
		d := newCD(t, CDROMConfig{})
		if test.image != nil {
			d.Insert(test.image)
		}
		d.takeAttention()
		c, p := run(d, []byte{opGetConfiguration, 8: 255}, nil, 255)
		if got := binary.BigEndian.Uint16(p[6:]); got != test.profile || int(binary.BigEndian.Uint32(p))+4 != c.Moved {
			t.Errorf("profile %#x in %d bytes, want %#x", got, c.Moved, test.profile)
		}
		for off := 8; off < c.Moved; off += 4 + int(p[off+3]) {
			one, q := run(d, []byte{opGetConfiguration, 2, p[off], p[off+1], 8: 255}, nil, 255)
			if want := p[off : off+4+int(p[off+3])]; !bytes.Equal(q[8:one.Moved], want) {
				t.Errorf("feature %x alone is %x", want, q[8:one.Moved])
			}
		}
		c, p = run(d, []byte{opModeSense10, 0, modeCapabilities, 8: 255}, nil, 255)
		check(t, "capabilities", c, senseNone, 8+22)
		if p[8] != modeCapabilities {
			t.Errorf("%x", p)
		}
		c, p = run(d, []byte{opInquiry, 0, 0, 0, 36}, nil, 36)
		if p[0] != 5 || p[1] != 0x80 || c.Moved != 36 {
			t.Errorf("inquiry %x", p)
		}
	}
}
