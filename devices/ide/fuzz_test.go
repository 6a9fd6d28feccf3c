package ide

import (
	"runtime"
	"testing"

	"github.com/sharevm/vmm/devices/ata"
	"github.com/sharevm/vmm/devices/ata/atatest"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

// FuzzIDE has a guest do anything to the registers and to the memory that they name, with snapshots in between.
func FuzzIDE(f *testing.F) {
	f.Add([]byte{0, 2, 1, 0, 3, 5, 0, 6, 0x40, 0, 7, 0x20, 7, 0, 0, 3, 0, 0, 1, 0, 0})
	f.Add([]byte{0, 6, 0x50, 0, 7, 0xa0, 7, 0, 0, 8, 0, 0x28, 3, 0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 1, 7, 0, 0})
	f.Add([]byte{4, 4, 0, 4, 5, 0x10, 4, 0, 9, 0, 2, 1, 0, 6, 0x40, 0, 7, 0xc8, 7, 0, 0, 4, 0, 0, 5, 0, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		ram := make([]byte, 64<<10)
		for i := range 16 { // a sound table, for the fuzzer to spoil
			copy(ram[0x1000+i*regionSize:], []byte{0, byte(0x20 + 8*i), 0, 0, 0, 8, 0, byte(i / 15 * 0x80)})
		}
		image := atatest.NewImage(64 << 10)
		fresh := func() *Controller {
			return newController(t, ram, irq.LineFunc(func(bool) {}), newDisk(t, ata.DiskConfig{Image: image}), newCD(t, image), nil, newDisk(t, ata.DiskConfig{Image: image}))
		}
		k, cycles := fresh(), 0
		for ; len(script) >= 3; script = script[3:] {
			op, a, v := script[0], script[1], script[2]
			channel := int(op >> 3 & 1)
			var p [8]byte
			for i := range p {
				p[i] = v
			}
			width := min(1+int(op>>5), 8)
			at := func(size int) (uint64, []byte) {
				off := int(a) % size
				return uint64(off), p[:min(width, size-off)]
			}
			switch op & 7 {
			case 0:
				k.Command(channel).Write(at(CommandSize))
			case 1:
				k.Command(channel).Read(at(CommandSize))
			case 2:
				k.Control(channel).Write(0, p[:1])
			case 3:
				if cycles++; cycles > 3 { // each takes many devices
					continue
				}
				k = statetest.Cycle(t, k, func() state.Device { return fresh() }).(*Controller)
			case 4:
				busMaster{k}.Write(at(busMasterSize))
			case 5:
				ram[0x1000+int(a)] = v
			case 6: // spoiled states are refused, or harmless
				k.Pause()
				var w state.Writer
				k.Save(&w)
				data := w.Data()
				data[int(a)*7%len(data)] ^= v
				if next := fresh(); next.Restore(state.NewReader(data)) == nil {
					k = next
				}
				k.Resume()
			case 7: // the worker does what it can
				ch := k.channels[channel]
				ch.mu.Lock()
				for !ch.paused && (ch.phase == begin || ch.phase == proceed || ch.reset && ch.control&controlReset == 0) {
					ch.mu.Unlock()
					runtime.Gosched()
					ch.mu.Lock()
				}
				ch.mu.Unlock()
			}
		}
		k.Pause()
	})
}
