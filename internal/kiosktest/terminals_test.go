package kiosktest

import (
	"image"
	"os"
	"testing"
)

// console has a text on the first terminal, and somebody who keeps that busy, so that a session takes another. It returns the picture.
func (h *host) console() image.Image {
	h.t.Helper()
	h.do(`sleep 10000 </dev/tty1 & printf '\033[2J\033[H\033[?25lThe text console of the host.' >/dev/tty1; echo written`)
	h.expect("^written$")
	var console image.Image
	h.until("the console's text", func(img image.Image) bool {
		was := console
		console = img
		return was != nil && same(was, img) && distinct(img) > 1
	})
	return console
}

// TestTerminals takes the console and gives it back in every way there is; nobody waits for a guest to boot meanwhile.
func TestTerminals(t *testing.T) {
	h := start(t, "virtio-vga")
	vmm, file := os.Getenv("VMM_BIN"), h.machineFile("one", "paint:1,events:vmm:2")
	console := h.console()
	text := func(img image.Image) bool { return same(img, console) }
	session := func(img image.Image) bool { return distinct(img) > 1 && !text(img) }

	h.do(vmm + " session --screen --run-option=--allow-outside " + file + " </dev/null & pid=$!")
	h.until("the session", session)
	h.key("ctrl", "alt", "f1")
	h.until("the first terminal", text)
	h.do("head -n 1 </dev/tty1 | sed 's/^/typed /' & echo reading")
	h.expect("^reading$")
	h.key("h")
	h.key("i")
	h.key("ret")
	h.expect("^typed hi$")
	h.do(`printf '\033[2J\033[HThe text console of the host.' >/dev/tty1; echo again`)
	h.expect("^again$")
	h.until("the text alone", text)
	h.key("alt", "f2")
	h.until("the session again", session)

	h.do("for p in $(cat /proc/$pid/task/*/children); do grep -q console-guard /proc/$p/cmdline && kill -9 $p; done; echo killed")
	h.expect("^killed$")
	h.until("the console, after its guard was killed", text)
	h.do("kill -9 $pid; wait $pid; echo ended")
	h.expect("^ended$")

	h.do(vmm + " session --screen --run-option=--allow-outside " + file + " </dev/null & pid=$!")
	h.until("another session", session)
	h.do("kill $pid; kill $pid; wait $pid; echo ended $?")
	h.expect("^ended 0$")
	h.until("the console, after an end in good order", text)
}

// TestUser takes the console as systemd has it done: by a user who has a terminal of his own, and nothing else. When he is gone the kernel hangs the terminal up.
func TestUser(t *testing.T) {
	h := start(t, "virtio-vga")
	vmm, file := os.Getenv("VMM_BIN"), h.machineFile("one", "paint:1,events:vmm:2")
	console := h.console()
	text := func(img image.Image) bool { return same(img, console) }
	session := func(img image.Image) bool { return distinct(img) > 1 && !text(img) }
	h.do("chown 65534 /dev/tty3 /dev/dri/card0 /dev/input/event*")
	for _, how := range []string{"-9", "-15"} {
		h.do("setsid --ctty setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all env XDG_RUNTIME_DIR=/tmp " +
			vmm + " session --screen --run-option=--allow-outside " + file + " </dev/tty3 2>&1 & pid=$!")
		h.until("a user's session", session)
		h.key("ctrl", "alt", "f1")
		h.until("the first terminal", text)
		h.key("alt", "f3")
		h.until("his session again", session)
		h.do("kill " + how + " $pid; kill " + how + " $pid; wait $pid; echo ended")
		h.expect("^ended$")
		h.until("the console, after a user's session", text)
	}
}
