package setup

import (
	"testing"
	"unsafe"
)

func TestRouteEntryLayout(t *testing.T) {
	var rt rtentry
	if s, d := unsafe.Sizeof(rt), unsafe.Offsetof(rt.dev); s != 120 || d != 88 {
		t.Errorf("struct rtentry: size %d, rt_dev at %d; the kernel has 120 and 88", s, d)
	}
	if o := unsafe.Offsetof(rt.flags); o != 56 {
		t.Errorf("rt_flags at %d; the kernel has it at 56", o)
	}
}
