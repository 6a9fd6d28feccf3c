package kiosktest

import (
	"image"
	"os"
	"slices"
	"testing"
)

// TestKiosk shows two machines on the host's screen, by a card of each kind: the hotkey turns from one to the other, keys and pointer reach the one in front, users do not
// get out, and a session that is killed gives the console back.
func TestKiosk(t *testing.T) {
	for _, card := range []string{"virtio-vga", "bochs-display"} {
		t.Run(card, func(t *testing.T) {
			h := start(t, card)
			vmm := os.Getenv("VMM_BIN")
			h.do(`printf '\033[2J\033[H\033[?25lThe text console of the host.' >/dev/tty1; echo written`)
			h.expect("^written$")
			var console image.Image
			h.until("the console's text", func(img image.Image) bool {
				was := console
				console = img
				return was != nil && same(was, img) && distinct(img) > 1
			})
			h.keep("console")
			h.do(vmm + " -v session --kiosk --run-option=--allow-outside " + h.machineFile("one", "paint:1,events:vmm:2") + " " + h.machineFile("two", "paint:2,events:vmm:2") + " </dev/null & pid=$!")
			t.Logf("the first machine's picture after %v", h.until("the first machine", shows(1)))
			h.keep("one")
			h.expect("^one: waiting for events$")
			h.key("f4")
			t.Logf("the second machine's after %v", h.until("the second machine", shows(2)))
			h.expect("^two: waiting for events$")
			h.key("a")
			h.expect(`^two: event \d 1 30 1$`)
			h.expect(`^two: event \d 1 30 0$`)
			h.place(0x4000, 0x2000)
			h.expect(`^two: event \d 3 0 163\d\d$`)
			// There is no way out: the guest gets these keys.
			h.key("ctrl", "alt", "f2")
			h.expect(`^two: event \d 1 60 1$`)
			h.key("f4")
			h.until("the first machine again", shows(1))

			h.do("kill -9 $pid; wait $pid; echo killed")
			h.expect("^killed$")
			took := h.until("the console", func(img image.Image) bool { return same(img, console) })
			t.Logf("the console was back %v after the session was killed", took)
			h.keep("killed")
			// The keyboard is the console's again.
			h.do("head -n 1 </dev/tty1 | sed 's/^/typed /' & echo reading")
			h.expect("^reading$")
			h.key("h")
			h.key("i")
			h.key("ret")
			h.expect("^typed hi$")
		})
	}
}

// same says whether two pictures are the same.
func same(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				return false
			}
		}
	}
	return true
}

// distinct counts the colours of a picture, up to a few.
func distinct(img image.Image) int {
	var seen []any
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y && len(seen) < 4; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			if c := any(img.At(x, y)); !slices.Contains(seen, c) {
				seen = append(seen, c)
			}
		}
	}
	return len(seen)
}
