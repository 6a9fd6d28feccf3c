package nvme_test

import (
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
)

func newImage(size int) *imagetest.Image { return imagetest.New(size, disk.Info{}) }

// pattern is n bytes that no other seed has.
func pattern(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed ^ byte(i) ^ byte(i>>8)*31
	}
	return p
}
