package machine

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sharevm/vmm/config"
	"github.com/sharevm/vmm/display"
)

func TestScreens(t *testing.T) {
	for _, test := range []struct {
		board   config.Board
		adapter config.DisplayAdapter
		heads   int
		want    int
	}{
		{config.BoardPC, config.DisplayAuto, 3, 1},
		{config.BoardPC, config.DisplayVirtio, 3, 3},
		{config.BoardPC, config.DisplayNone, 1, 0},
		{config.BoardFast, config.DisplayAuto, 1, 0},
		{config.BoardFast, config.DisplayVirtio, 1, 1},
	} {
		c := &config.Machine{Board: test.board, Display: config.Display{Adapter: test.adapter, Heads: test.heads}}
		if got := len(newScreens(c)); got != test.want {
			t.Errorf("%+v: %d screens", test, got)
		}
	}
	var b bytes.Buffer
	m := &Machine{}
	if err := m.Screenshot(0, &b); err == nil || !strings.Contains(err.Error(), "no graphics card") {
		t.Error(err)
	}
	m.screens = []*display.Surface{display.NewSurface()}
	for _, n := range []int{-1, 1} {
		if err := m.Screenshot(n, &b); err == nil || !strings.Contains(err.Error(), "no screen") {
			t.Error(err)
		}
	}
	if err := m.Screenshot(0, &b); !errors.Is(err, display.ErrOff) {
		t.Error(err)
	}
}

func TestVideoMemory(t *testing.T) {
	for want, got := range map[int64]int{1: 256 << 10, 4 << 20: 4 << 20, 5 << 20: 8 << 20, 16 << 20: 16 << 20, 1 << 30: 256 << 20} {
		if n := videoMemory(want); n != got {
			t.Errorf("%d bytes are %d, want %d", want, n, got)
		}
	}
}
