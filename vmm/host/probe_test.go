package host

import (
	"os"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/kvm"
)

// TestProbeAgreesWithModules holds the probe to what the loaded module says.
func TestProbeAgreesWithModules(t *testing.T) {
	sys, err := kvm.Open("")
	if err != nil {
		if os.Getenv("VMM_TEST_KVM") == "require" {
			t.Fatal(err)
		}
		t.Skip("no payload tests:", err)
	}
	defer sys.Close()
	got, err := probe(sys)
	if err != nil {
		t.Fatal(err)
	}
	_, errAMD := os.Stat("/sys/module/kvm_amd")
	_, errIntel := os.Stat("/sys/module/kvm_intel")
	_, errPVM := os.Stat("/sys/module/kvm_pvm")
	switch {
	case (errAMD == nil || errIntel == nil) && !got:
		t.Error("hardware KVM was taken for a paravirtual one")
	case errPVM == nil && errAMD != nil && errIntel != nil && got:
		t.Error("paravirtual KVM was taken for hardware")
	}
}

func TestReportSaysWhatToDo(t *testing.T) {
	r := Examine()
	for _, c := range r.Checks {
		if c.Level == Major && c.Do == "" {
			t.Errorf("%s fails without saying what to do: %s", c.Name, c.Result)
		}
		if c.Level == Major && r.Ready {
			t.Errorf("ready in spite of %s: %s", c.Name, c.Result)
		}
	}
	var b strings.Builder
	r.WriteText(&b)
	if !strings.Contains(b.String(), "KVM") {
		t.Error("the text does not speak of KVM")
	}
}
