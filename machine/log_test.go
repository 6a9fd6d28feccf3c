package machine

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	log := limited(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	device := log.With("device", "disk 0").WithGroup("io")
	for i := range 10 * logBurst {
		log.Debug("provoked", "i", i)
		device.Warn("provoked", "i", i)
	}
	log.Info("something else")
	if n := strings.Count(out.String(), "provoked"); n != logBurst {
		t.Errorf("%d lines passed, want %d", n, logBurst)
	}
	if !strings.Contains(out.String(), "something else") {
		t.Error("one kind of line has silenced another")
	}
	out.Reset()
	later := slog.NewRecord(time.Now().Add(logInterval), slog.LevelWarn, "provoked", 0)
	if err := log.Handler().Handle(context.Background(), later); err != nil {
		t.Fatal(err)
	}
	if want := "dropped=608"; !strings.Contains(out.String(), want) {
		t.Errorf("after a while it says %q, want %s", out.String(), want)
	}
}
