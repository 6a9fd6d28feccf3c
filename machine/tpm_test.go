package machine

import (
	"testing"

	"github.com/sharevm/vmm/devices/tpm/swtpm"
	"github.com/sharevm/vmm/vmm/state"
	"github.com/sharevm/vmm/vmm/state/statetest"
)

func TestTPMMemory(t *testing.T) {
	m := &tpmMemory{swtpm.State{Permanent: []byte("keys"), Volatile: []byte("measurements")}}
	got := statetest.Cycle(t, m, func() state.Device { return &tpmMemory{} }).(*tpmMemory)
	if string(got.Permanent) != "keys" || string(got.Volatile) != "measurements" {
		t.Errorf("%q", got.State)
	}
	var w state.Writer
	(&tpmMemory{}).Save(&w)
	if err := got.Restore(state.NewReader(w.Data())); err == nil {
		t.Error("a TPM goes on from nothing")
	}
}
