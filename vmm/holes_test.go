package vmm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sharevm/vmm/vmm/memory"
)

func TestHoles(t *testing.T) {
	host := make([]byte, 0x1000)
	for i := range host {
		host[i] = byte(i >> 4)
	}
	ram := []memory.Region{{Base: 0, Host: host[:0x800]}, {Base: 0x1000, Host: host[0x800:]}}
	for _, test := range []struct {
		holes []Range
		want  string
	}{
		{nil, "0+800 1000+800"},
		{[]Range{{0xa0, 0x20}}, "0+a0 c0+740 1000+800"},
		{[]Range{{0, 0x10}, {0x20, 0x10}}, "10+10 30+7d0 1000+800"},
		{[]Range{{0x700, 0x1000}}, "0+700 1700+100"},
		{[]Range{{0, 0x800}}, "1000+800"},
		{[]Range{{0x800, 0x800}}, "0+800 1000+800"},
		{[]Range{{0, 0x10000}}, ""},
	} {
		got := ""
		for _, r := range cut(ram, test.holes) {
			got = strings.TrimSpace(fmt.Sprintf("%s %x+%x", got, r.Base, len(r.Host)))
			if want := byte((r.Base&0x7ff | r.Base>>12<<11) >> 4); r.Host[0] != want {
				t.Errorf("%v: at %#x lies what belongs elsewhere", test.holes, r.Base)
			}
		}
		if got != test.want {
			t.Errorf("%v: %s, want %s", test.holes, got, test.want)
		}
	}
}
