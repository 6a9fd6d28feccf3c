package main

import (
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"

	"github.com/sharevm/vmm/config/vmx"
)

// What the browser machine's own start page has to show (images/browser/start.html): its colours, 0xRRGGBB, and the least of what the field for an address takes of the picture, in pixels.
const (
	startBack, startHead, startBorder, startField = 0x12263a, 0xe8eef4, 0x4fa3e0, 0xffffff
	fieldWidth, fieldHeight                       = 400, 30
)

// known errs where a picture is not the page that the machine is known to show. A page that its .vmx names may look like anything but an empty screen.
func (m *instantMachine) known(page *rest, width int) error {
	if page.empty() {
		return errors.New("the machine is ready, and next to nothing is to be seen")
	}
	cfg, _, _, err := vmx.Load(m.vmx, vmx.Options{AllowOutside: true})
	if err != nil {
		return err
	}
	if cfg.Run.Kiosk.URL != "" {
		return nil
	}
	page.asks = true
	if !isStartPage(page.pixels, width) {
		return errors.New("the picture is at rest, but it is not the start page (images/browser/start.html)")
	}
	return nil
}

// isStartPage says whether a picture shows the start page: its background in all corners, and between them the heading, and below that the field with its border.
func isStartPage(pixels []uint32, width int) bool {
	if width < fieldWidth || len(pixels) < width*fieldHeight {
		return false
	}
	height := len(pixels) / width
	for _, i := range []int{0, width - 1, (height - 1) * width, height*width - 1} {
		if pixels[i] != startBack {
			return false
		}
	}
	top := -1 // of the field's lines
	lines := 0
	for y := range height {
		if longest(pixels[y*width:][:width], startField) >= fieldWidth {
			if lines++; top < 0 {
				top = y
			}
		}
	}
	return top > 0 && lines >= fieldHeight && longest(pixels[:top*width], startHead) > 0 && longest(pixels[:top*width], startBorder) > 0
}

// longest is the longest run of a colour, in pixels.
func longest(pixels []uint32, c uint32) (most int) {
	run := 0
	for _, p := range pixels {
		if run++; p != c {
			run = 0
		}
		most = max(most, run)
	}
	return most
}

// hash tells pictures apart.
func (v *viewer) hash() uint64 {
	const basis, prime = 14695981039346656037, 1099511628211 // FNV-1a's
	h := uint64(basis)
	for _, p := range v.pixels {
		h = (h ^ uint64(p)) * prime
	}
	return (h ^ uint64(v.width)) * prime
}

// writePNG stores the picture.
func (v *viewer) writePNG(path string) error {
	img := image.NewNRGBA(image.Rect(0, 0, v.width, v.height))
	for i, p := range v.pixels {
		img.SetNRGBA(i%v.width, i/v.width, color.NRGBA{uint8(p >> 16), uint8(p >> 8), uint8(p), 0xff})
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, img), f.Close())
}
