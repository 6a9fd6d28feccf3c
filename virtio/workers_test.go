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
	var log strings.Builder
	a := &virtio.Activation{
		Log:  slog.New(slog.NewTextHandler(&log, nil)).With("device", "disk 7"),
		Fail: func(err error) { broken <- err },
	}
	var w virtio.Workers
	w.Go(a, "first", func() {}, func() error { panic("out of cheese") })
	if err := <-broken; !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "out of cheese") {
		t.Fatal(err)
	}
	w.Stop()
	if !strings.Contains(log.String(), "disk 7") || !strings.Contains(log.String(), "workers_test.go") {
		t.Fatalf("the log has neither device nor stack: %s", log.String())
	}
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
