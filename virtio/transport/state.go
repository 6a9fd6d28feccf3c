package transport

import (
	"github.com/sharevm/vmm/virtio"
	"github.com/sharevm/vmm/vmm/state"
)

const stateName, stateVersion = "virtio-pci", 1

// Pause implements state.Device.
func (t *Transport) Pause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.active && !t.restored {
		t.dev.Pause()
	}
}

// Save implements state.Device.
func (t *Transport) Save(w *state.Writer) {
	t.fn.Save(w)
	t.mu.Lock()
	defer t.mu.Unlock()
	w.Version(stateName, stateVersion)
	w.U16(t.dev.Type())
	w.U64(t.driverFeatures)
	w.U32(t.deviceFeatureSelect)
	w.U32(t.driverFeatureSelect)
	w.U16(t.queueSelect)
	w.U8(t.status)
	w.Bool(t.needsReset.Load())
	w.U8(uint8(t.generation.Load()))
	w.U16(uint16(t.configVector.Load()))
	t.isrMu.Lock()
	w.U8(t.isr)
	t.isrMu.Unlock()
	w.Bool(t.active)
	w.U16(uint16(len(t.queues)))
	for i := range t.queues {
		q := &t.queues[i]
		w.U16(q.size)
		w.Bool(q.enabled)
		w.Bool(q.stopped)
		w.U64(q.desc)
		w.U64(q.driver)
		w.U64(q.device)
		w.U16(uint16(q.vector.Load()))
		if t.active && q.enabled {
			q.live.Save(w)
		}
	}
	t.dev.Save(w)
}

// Restore implements state.Device. The device is activated at Resume.
func (t *Transport) Restore(r *state.Reader) error {
	t.Reset()
	if err := t.fn.Restore(r); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.restore(r); err != nil {
		t.reset() // nothing half restored may be started
		return err
	}
	return nil
}

func (t *Transport) restore(r *state.Reader) error {
	r.Version(stateName, stateVersion)
	if kind := r.U16(); r.Err() == nil && kind != t.dev.Type() {
		r.Fail("%s: state of virtio device type %d, this is %d", t.name, kind, t.dev.Type())
	}
	t.driverFeatures = r.U64()
	t.deviceFeatureSelect = r.U32()
	t.driverFeatureSelect = r.U32()
	t.queueSelect = r.U16()
	t.status = r.U8()
	t.needsReset.Store(r.Bool())
	t.generation.Store(uint32(r.U8()))
	t.configVector.Store(t.vector(uint64(r.U16())))
	t.isrMu.Lock()
	t.isr = r.U8() & (isrQueue | isrConfig)
	t.isrMu.Unlock()
	active := r.Bool()
	if n := r.U16(); r.Err() == nil && int(n) != len(t.queues) {
		r.Fail("%s: %d queues, this device has %d", t.name, n, len(t.queues))
	}
	if !possible(t.status) {
		r.Fail("%s: status %#x", t.name, t.status)
	}
	if t.status&virtio.StatusFeaturesOK != 0 && (t.driverFeatures&^t.offered != 0 || t.driverFeatures&virtio.FeatureVersion1 == 0) {
		r.Fail("%s: features %#x, this device offers %#x", t.name, t.driverFeatures, t.offered)
	}
	if active && t.status&virtio.StatusDriverOK == 0 {
		r.Fail("%s: active with status %#x", t.name, t.status)
	}
	for i := range t.queues {
		if err := t.restoreQueue(r, i, active); err != nil {
			return err
		}
	}
	if r.Err() != nil {
		return r.Err()
	}
	t.active, t.restored = active, active
	return t.dev.Restore(r)
}

func (t *Transport) restoreQueue(r *state.Reader, i int, active bool) error {
	q := &t.queues[i]
	q.size = r.U16()
	q.enabled = r.Bool()
	q.stopped = r.Bool()
	q.desc = r.U64()
	q.driver = r.U64()
	q.device = r.U64()
	q.vector.Store(t.vector(uint64(r.U16())))
	if r.Err() != nil {
		return r.Err()
	}
	if q.size == 0 || q.size&(q.size-1) != 0 || q.size > q.max {
		r.Fail("%s: queue %d of size %d", t.name, i, q.size)
	}
	if _, ok := t.dev.(virtio.RingResetter); q.stopped && (!ok || !active || q.enabled) {
		r.Fail("%s: queue %d was reset alone", t.name, i)
	}
	if !active || !q.enabled || r.Err() != nil {
		return r.Err()
	}
	if err := t.buildQueue(i); err != nil {
		r.Fail("%s: %v", t.name, err)
		return r.Err()
	}
	return q.live.Restore(r)
}

// possible says whether a status has each step only with those before it.
func possible(status uint8) bool {
	missing := false
	for _, step := range steps {
		if status&step == 0 {
			missing = true
		} else if missing {
			return false
		}
	}
	return status&^(virtio.StatusFailed|virtio.StatusAcknowledge|virtio.StatusDriver|virtio.StatusFeaturesOK|virtio.StatusDriverOK) == 0
}

// Resume implements state.Device.
func (t *Transport) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.restored:
		t.active, t.restored = false, false
		t.activate()
	case t.active:
		t.dev.Resume()
	}
}
