package virtio_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/sharevm/vmm/virtio"
)

func TestWorkersAreABoundary(t *testing.T) {
	broken := make(chan error, 2)
	a := &virtio.Activation{Log: slog.New(slog.DiscardHandler), Fail: func(err error) { broken <- err }}
	var w virtio.Workers
	w.Go(a, "first", func() {}, func() error { panic("out of cheese") })
	err := <-broken
	if p := (*virtio.PanicError)(nil); err.Error() != "first: panic: out of cheese" || !errors.As(err, &p) || !strings.Contains(string(p.Stack), "workers_test.go") {
		t.Fatal(err)
	}
	w.Stop()
	cause := errors.New("cause")
	w.Go(a, "second", func() {}, func() error { return cause })
	if err := <-broken; !errors.Is(err, cause) {
		t.Fatal(err)
	}
	w.Stop()
	w.Stop()
}

func TestWorkersStartAgain(t *testing.T) {
	a := &virtio.Activation{Log: slog.New(slog.DiscardHandler), Fail: func(err error) { t.Error(err) }}
	var w virtio.Workers
	for range 100 {
		if w.Stopping() {
			t.Fatal("stopping before the start")
		}
		wake, ended := make(chan struct{}), false
		w.Go(a, "sleeper", func() { close(wake) }, func() error {
			<-wake
			ended = w.Stopping()
			return nil
		})
		w.Stop()
		if !ended {
			t.Fatal("Stop returned before the worker had ended")
		}
	}
}
