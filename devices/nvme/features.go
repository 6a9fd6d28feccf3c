package nvme

import "sync/atomic"

// Feature identifiers (section 5.21.1).
const (
	featureArbitration   = 0x01
	featurePower         = 0x02
	featureTemperature   = 0x04
	featureErrorRecovery = 0x05
	featureWriteCache    = 0x06
	featureQueues        = 0x07
	featureCoalescing    = 0x08
	featureVector        = 0x09
	featureAtomicity     = 0x0a
	featureEvents        = 0x0b
	featureCount         = 0x0c
)

// criticalTemperature is the composite temperature in kelvin from which a driver is warned; ours stays at temperature.
const (
	temperature         = 300
	warningTemperature  = 343
	criticalTemperature = 353
)

// features are what the driver can set, by identifier. Most of them are kept and change nothing: there is nothing to cool, to save power in
// or to arbitrate.
type features [featureCount]atomic.Uint32

func (f *features) reset() {
	for i := range f {
		f[i].Store(0)
	}
	f[featureTemperature].Store(warningTemperature)
	f[featureWriteCache].Store(1)
}

// writeCache says whether writes may complete before they are durable.
func (f *features) writeCache() bool { return f[featureWriteCache].Load()&1 != 0 }

// getFeatures carries out Get Features (section 5.14).
func (d *Controller) getFeatures(c *command) (uint32, status) {
	switch id := c.dw[10] & 0xff; id {
	case featureArbitration, featurePower, featureErrorRecovery, featureCoalescing, featureAtomicity, featureEvents:
		return d.features[id].Load(), success
	case featureTemperature:
		if c.dw[11]>>20&3 != 0 { // the threshold below, or of a sensor that we do not have
			return 0, success
		}
		return d.features[id].Load(), success
	case featureWriteCache:
		if !d.cached {
			return 0, invalidField
		}
		return d.features[id].Load(), success
	case featureQueues:
		return d.pairs(), success
	case featureVector:
		vector := c.dw[11] & 0xffff
		if vector >= uint32(len(d.cqs)) {
			return 0, invalidField
		}
		return vector, success
	}
	return 0, invalidField
}

// setFeatures carries out Set Features (section 5.21).
func (d *Controller) setFeatures(c *command) (uint32, status) {
	const save = 1 << 31
	if c.dw[10]&save != 0 {
		return 0, notSaveable
	}
	v := c.dw[11]
	switch id := c.dw[10] & 0xff; id {
	case featureArbitration, featureErrorRecovery, featureCoalescing, featureAtomicity, featureEvents:
		d.features[id].Store(v)
	case featurePower:
		if v&0x1f != 0 { // there is one power state
			return 0, invalidField
		}
		d.features[id].Store(v)
	case featureTemperature:
		if v>>16 == 0 { // the composite temperature, too high
			d.features[id].Store(v & 0xffff)
		}
	case featureWriteCache:
		if !d.cached {
			return 0, invalidField
		}
		// What was written until now may still be volatile; the driver's next flush or write settles that (section 5.21.1.6).
		d.features[id].Store(v & 1)
	case featureQueues:
		if v&0xffff == 0xffff || v>>16 == 0xffff {
			return 0, invalidField
		}
		for i := 1; i < len(d.sqs); i++ {
			if d.sqs[i].Load() != nil || d.cqs[i].Load() != nil {
				return 0, commandSequence
			}
		}
		return d.pairs(), success
	case featureVector:
		if v&0xffff >= uint32(len(d.cqs)) {
			return 0, invalidField
		}
	default:
		return 0, invalidField
	}
	return 0, success
}

// pairs is the number of I/O queues of both kinds, zero based.
func (d *Controller) pairs() uint32 {
	n := uint32(d.config.QueuePairs - 1)
	return n<<16 | n
}
