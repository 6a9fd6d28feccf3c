package guard_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/sharevm/vmm/internal/guard"
)

func TestPanic(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	func() {
		defer guard.Panic(log, "quiet one")
	}()
	if out.Len() != 0 {
		t.Errorf("without a panic it logs %q", out.String())
	}
	func() {
		defer guard.Panic(log, "clock alarm")
		panic("out of cheese")
	}()
	for _, want := range []string{"clock alarm", "out of cheese", "guard_test.go"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q: %s", want, out.String())
		}
	}
	func() {
		defer guard.Panic(nil, "nobody listens")
		panic("anyway")
	}()
}
