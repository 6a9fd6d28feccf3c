package vcpu

import (
	"log/slog"
	"sync"
)

// SinkMSRs answers unknown MSRs the way that lets foreign guests live: reads give zero, writes vanish, and each MSR is
// logged once per machine. maxLogged bounds what a guest can make it remember.
type SinkMSRs struct {
	Log *slog.Logger

	mu   sync.Mutex
	seen map[uint32]struct{}
}

const maxLogged = 256

// ReadMSR returns zero.
func (s *SinkMSRs) ReadMSR(vcpu int, index uint32) (uint64, bool) {
	s.note("read of unknown MSR gives zero", vcpu, index, 0)
	return 0, true
}

// WriteMSR swallows the value.
func (s *SinkMSRs) WriteMSR(vcpu int, index uint32, value uint64) bool {
	s.note("write of unknown MSR ignored", vcpu, index, value)
	return true
}

func (s *SinkMSRs) note(msg string, vcpu int, index uint32, value uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[index]; ok || len(s.seen) >= maxLogged {
		return
	}
	if s.seen == nil {
		s.seen = make(map[uint32]struct{})
	}
	s.seen[index] = struct{}{}
	if s.Log != nil {
		s.Log.Debug(msg, "vcpu", vcpu, "msr", index, "value", value)
	}
}
