package transport

import "github.com/sharevm/vmm/virtio"

// register is a field of the common configuration (virtio 1.2, section 4.1.4.3).
type register uint8

const (
	deviceFeatureSelect register = iota
	deviceFeature
	driverFeatureSelect
	driverFeature
	configVector
	numQueues
	deviceStatus
	configGeneration
	queueSelect
	queueSize
	queueVector
	queueEnable
	queueNotifyOff
	queueDesc
	queueDriver
	queueDevice
	queueNotifyData
	queueReset
	commonSize = 0x3c // bytes in all of them
)

// fields are the registers in order of their offsets.
var fields = [...]struct{ off, size int }{
	deviceFeatureSelect: {0x00, 4}, deviceFeature: {0x04, 4}, driverFeatureSelect: {0x08, 4}, driverFeature: {0x0c, 4},
	configVector: {0x10, 2}, numQueues: {0x12, 2}, deviceStatus: {0x14, 1}, configGeneration: {0x15, 1},
	queueSelect: {0x16, 2}, queueSize: {0x18, 2}, queueVector: {0x1a, 2}, queueEnable: {0x1c, 2}, queueNotifyOff: {0x1e, 2},
	queueDesc: {0x20, 8}, queueDriver: {0x28, 8}, queueDevice: {0x30, 8}, queueNotifyData: {0x38, 2}, queueReset: {0x3a, 2},
}

// readCommon answers an access of any width at any offset, register by register; p is zero where there is none.
func (t *Transport) readCommon(off int, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r, f := range fields {
		if off >= f.off+f.size || f.off >= off+len(p) {
			continue
		}
		v := t.get(register(r))
		for i := range f.size {
			if at := f.off + i - off; at >= 0 && at < len(p) {
				p[at] = uint8(v >> (8 * i))
			}
		}
	}
}

// writeCommon takes an access of any width at any offset: registers that it covers in part keep their other bytes. The
// device is called from here: the lock is given back when it panics, or Close would wait for ever.
func (t *Transport) writeCommon(off int, p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r, f := range fields {
		if off >= f.off+f.size || f.off >= off+len(p) {
			continue
		}
		v := t.get(register(r))
		for i := range f.size {
			if at := f.off + i - off; at >= 0 && at < len(p) {
				v = v&^(0xff<<(8*i)) | uint64(p[at])<<(8*i)
			}
		}
		t.set(register(r), v)
	}
}

// get returns the value of a register. t.mu is held.
func (t *Transport) get(r register) uint64 {
	switch r {
	case deviceFeatureSelect:
		return uint64(t.deviceFeatureSelect)
	case deviceFeature:
		return half(t.offered, t.deviceFeatureSelect)
	case driverFeatureSelect:
		return uint64(t.driverFeatureSelect)
	case driverFeature:
		return half(t.driverFeatures, t.driverFeatureSelect)
	case configVector:
		return uint64(t.configVector.Load())
	case numQueues:
		return uint64(len(t.queues))
	case deviceStatus:
		return uint64(t.deviceStatus())
	case configGeneration:
		return uint64(uint8(t.generation.Load()))
	case queueSelect:
		return uint64(t.queueSelect)
	}
	q := t.selected()
	if q == nil { // a size of zero says that there is no such queue
		if r == queueVector {
			return noVector
		}
		return 0
	}
	switch r {
	case queueSize:
		return uint64(q.size)
	case queueVector:
		return uint64(q.vector.Load())
	case queueEnable:
		if q.enabled {
			return 1
		}
	case queueNotifyOff, queueNotifyData:
		return uint64(t.queueSelect)
	case queueDesc:
		return q.desc
	case queueDriver:
		return q.driver
	case queueDevice:
		return q.device
	}
	return 0
}

// set stores a register. t.mu is held.
func (t *Transport) set(r register, v uint64) {
	switch r {
	case deviceFeatureSelect:
		t.deviceFeatureSelect = uint32(v)
	case driverFeatureSelect:
		t.driverFeatureSelect = uint32(v)
	case driverFeature:
		if t.status&virtio.StatusFeaturesOK == 0 && t.driverFeatureSelect < 2 {
			shift := 32 * t.driverFeatureSelect
			t.driverFeatures = t.driverFeatures&^(0xffffffff<<shift) | v<<shift
		}
	case configVector:
		t.configVector.Store(t.vector(v))
	case deviceStatus:
		t.setStatus(uint8(v))
	case queueSelect:
		t.queueSelect = uint16(v)
	case queueSize, queueVector, queueEnable, queueDesc, queueDriver, queueDevice, queueReset:
		if q := t.selected(); q != nil {
			t.setQueue(q, r, v)
		}
	}
}

// half returns the 32 feature bits that a select register picks.
func half(features uint64, sel uint32) uint64 {
	if sel > 1 {
		return 0
	}
	return features >> (32 * sel) & 0xffffffff
}
