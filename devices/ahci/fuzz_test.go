package ahci

import (
	"encoding/binary"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// FuzzAHCI has a guest do anything to the registers and to the memory that they name, with snapshots in between.
func FuzzAHCI(f *testing.F) {
	read := []byte{1, 0, 0x27, 0x80, 0x25, 0} // a frame in the table of slot 0
	f.Add([]byte{0, 0x18, 1, 0x11, 0, 0, 0, 0, 0x38, 1, 1, 0, 0, 0})
	f.Add(append(read, 0, 0x18, 1, 0x11, 0, 0, 0, 2, 0, 0, 0x38, 1, 1, 0, 0, 0))
	f.Fuzz(func(t *testing.T, script []byte) {
		ram := make([]byte, 64<<10)
		le := binary.LittleEndian
		for slot := range Slots { // a sound list, for the fuzzer to spoil
			h := ram[slot*headerSize:]
			le.PutUint32(h, 5|headerPacket|8<<16)
			le.PutUint64(h[8:], uint64(0x1000+slot*0x100))
			fis := ram[0x1000+slot*0x100:]
			copy(fis, []byte{fisToDevice, fisCommand, []byte{0x25, 0x35, 0x60, 0x61, 0xec, 0xa0, 0x2f, 0x06}[slot%8], 1, byte(slot), 0, 0, 0x40, 0, 0, 0, 0, byte(slot<<3) | 1})
			for i := range 8 {
				e := fis[tablePRDT+i*prdSize:]
				le.PutUint64(e, uint64(0x8000+i*512))
				le.PutUint32(e[12:], 511)
			}
		}
		image := atatest.NewImage(64 << 10)
		msi := &messages{make(chan struct{}, 1<<16)}
		fresh := func() *Controller {
			return newController(t, ram, irq.LineFunc(func(bool) {}), msi, newDisk(t, ata.DiskConfig{Image: image}), newCD(t, image), nil)
		}
		k, cycles := fresh(), 0
		for len(script) >= 4 {
			op, a, b, v := script[0], uint64(script[1]), uint64(script[2]), script[3:]
			script = script[4:]
			var p [8]byte
			copy(p[:], v)
			width := uint64(1 + op>>5)
			switch op & 7 {
			case 0, 4, 5: // a register of a port, or of the adapter
				off := min(b*0x80+a, barSize-width)
				registers{k}.Write(off, p[:width])
				script = script[min(len(script), int(width)):]
			case 1: // guest memory
				copy(ram[(a|b<<8)&0x3fff:], p[:width])
			case 2:
				registers{k}.Read(min(b*0x80+a, barSize-width), p[:width])
			case 3:
				if cycles++; cycles > 3 { // each takes many devices
					continue
				}
				k = statetest.Cycle(t, k, func() state.Device { return fresh() }).(*Controller)
			case 6: // what every driver begins with
				registers{k}.Write(uint64(at(int(b%3), portCommand)), []byte{cmdStart | cmdReceive, 0, 0, 0})
				registers{k}.Write(uint64(at(int(b%3), portActive)), p[:4])
				registers{k}.Write(uint64(at(int(b%3), portIssue)), p[:4])
			case 7: // spoiled states are refused, or harmless
				k.Pause()
				var w state.Writer
				k.Save(&w)
				data := w.Data()
				data[(int(a)|int(b)<<8)%len(data)] ^= p[0]
				if next := fresh(); next.Restore(state.NewReader(data)) == nil {
					k = next
				}
				k.Resume()
			}
		}
		k.Pause()
	})
}
