// Package atatest is what the tests of ATA drives and of their controllers share: an image with a pattern on it, and an interrupt line.
package atatest

import (
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/imagetest"
)

// NewImage returns an image of size bytes with sectors of 512.
func NewImage(size int) *imagetest.Image { return NewImageOf(size, disk.Info{SectorSize: 512}) }

// NewImageOf returns an image of size bytes.
func NewImageOf(size int, info disk.Info) *imagetest.Image {
	m := imagetest.New(size, info)
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>9)*13
	}
	m.Fill(0, p)
	return m
}
