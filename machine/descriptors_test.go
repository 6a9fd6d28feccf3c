package machine

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestWidenDescriptors looks at the table's size in proc_pid_status(5).
func TestWidenDescriptors(t *testing.T) {
	size := func() (n int) {
		b, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "\nFDSize:")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := size(); n >= descriptors {
		t.Skipf("there is room for %d descriptors already", n)
	}
	if WidenDescriptors(); size() < descriptors {
		t.Errorf("there is room for %d descriptors, want %d", size(), descriptors)
	}
}
