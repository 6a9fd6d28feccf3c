package hda

import (
	"encoding/binary"
	"math"

	"github.com/sharevm/vmm/audio"
)

// player plays the stream that the codec hears.
type player struct {
	to     audio.Backend
	stream audio.Stream // nil while there is none
	owner  int          // index of the stream that is played
	format uint16       // its
	failed bool         // it can't be
	stage  [4096]byte
	staged int // bytes in stage that are no whole frame yet
}

// unity is a gain of 0 dB.
const unity = 1 << 16

// gains are the factors by steps of the amplifier, in units of 1/unity.
var gains = makeGains()

func makeGains() (g [gainSteps + 1]int64) {
	for i := range g {
		g[i] = int64(math.Round(unity * math.Pow(10, float64(i-gainSteps)/20)))
	}
	return g
}

// begin makes the player play stream n, and says whether it does. Another one that it plays comes first.
func (p *player) begin(n int, format uint16) bool {
	if p.stream != nil || p.failed {
		if p.owner != n {
			return false
		}
		if p.format == format {
			return !p.failed
		}
		p.stop()
	}
	p.owner, p.format = n, format
	sound := soundOf(format)
	if p.failed = sound.Check() != nil; p.failed {
		return false
	}
	s, err := p.to.Open(sound)
	if p.failed = err != nil; !p.failed {
		p.stream = s
	}
	return !p.failed
}

// room is where the next samples go.
func (p *player) room() []byte { return p.stage[p.staged:] }

// play plays n bytes that were put into room.
func (p *player) play(n int, amp [2]uint8) {
	p.staged += n
	frame := frameOf(p.format)
	whole := p.staged - p.staged%frame
	amplify(p.stage[:whole], frame/(int(p.format&0xf)+1), int(p.format&0xf)+1, amp)
	p.stream.Write(p.stage[:whole])
	p.staged = copy(p.stage[:], p.stage[whole:p.staged])
}

// stop ends what is played.
func (p *player) stop() {
	if p.stream != nil {
		p.stream.Close()
	}
	p.stream, p.failed, p.staged = nil, false, 0
}

// release is stop if stream n is played.
func (p *player) release(n int) {
	if (p.stream != nil || p.failed) && p.owner == n {
		p.stop()
	}
}

// amplify changes samples of 2 or 4 bytes by the amplifier of their channel.
func amplify(b []byte, sample, channels int, amp [2]uint8) {
	var factor [2]int64
	for i, v := range amp {
		if v&gainMute == 0 {
			factor[i] = gains[v&gainBits]
		}
	}
	if channels == 1 {
		factor[1] = factor[0]
	}
	if factor == [2]int64{unity, unity} {
		return
	}
	le := binary.LittleEndian
	for i := 0; len(b) >= sample; b, i = b[sample:], i^1 {
		if sample == 2 {
			le.PutUint16(b, uint16(int64(int16(le.Uint16(b)))*factor[i]>>16))
		} else {
			le.PutUint32(b, uint32(int64(int32(le.Uint32(b)))*factor[i]>>16))
		}
	}
}
