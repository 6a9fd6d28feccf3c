package tools_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
)

// TestConvertNames has conversions fail on both sides: the message names each file once, and never the hidden folder that the new image is made in.
func TestConvertNames(t *testing.T) {
	d := dir(t)
	good := image(t, in(d, "good.raw"), mixed(mib, 1), disk.CreateOptions{})
	broken := in(d, "broken.vmdk")
	_, err := tools.Convert(t.Context(), good, broken, tools.ConvertOptions{Out: disk.CreateOptions{Variant: "streamOptimized"}})
	must(t, err)
	p, err := os.ReadFile(broken)
	must(t, err)
	clear(p[64<<10+12 : 64<<10+100]) // the compressed data of the first grain
	must(t, os.WriteFile(broken, p, 0o600))
	for _, tt := range []struct{ from, to, bad string }{
		{good, in(d, "new\nline.vmdk"), in(d, "new\nline.vmdk")},
		{broken, in(d, "out.raw"), broken},
	} {
		_, err := tools.Convert(t.Context(), tt.from, tt.to, tools.ConvertOptions{})
		if err == nil {
			t.Errorf("%s was converted to %q", tt.from, tt.to)
			continue
		}
		if s := err.Error(); strings.Contains(s, ".part-") || strings.Count(s, tt.bad) != 1 {
			t.Errorf("%q", s)
		}
	}
}
