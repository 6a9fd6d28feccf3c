// Package virtiotest is a fake guest with a driver of its own, for testing virtio devices: it finds a device on a PCI root, drives
// it through the transport's registers and through rings in fake RAM, and waits for its MSI-X interrupts. Nothing sleeps or polls.
//
//	d := virtiotest.New(t, rng.New())
//	d.Start(virtio.FeatureEventIdx)
//	r := d.Queues[0].Submit(nil, 32)   // 32 device-writable bytes, kicked
//	random := r.Wait()                 // the bytes that the device wrote
package virtiotest
