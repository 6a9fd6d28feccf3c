package formats_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sharevm/vmm/disk/disktest"
	"github.com/sharevm/vmm/disk/formats"
)

// FuzzSamples starts from the vendors' own images, in whatever format the first byte says.
func FuzzSamples(f *testing.F) {
	dir := samplesDir(f)
	names := map[string]string{"vpc": "vhd"}
	all := formats.All()
	for _, s := range samples(f, dir) {
		name, _, _ := strings.Cut(s.format, ":")
		if other, ok := names[name]; ok {
			name = other
		}
		for k, format := range all {
			if format.Name != name || name == "raw" {
				continue
			}
			content, err := os.ReadFile(unpack(f, dir, s))
			if err != nil {
				f.Fatal(err)
			}
			if len(content) < 1<<20 {
				f.Add(byte(k), content)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, content []byte) {
		format := all[int(which)%len(all)]
		s := disktest.Subject{File: "disk" + format.Extensions[0], Open: format.Open, Check: format.Check}
		disktest.Exercise(t, s, content)
	})
}
