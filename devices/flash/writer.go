package flash

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/sharevm/vmm/internal/guard"
)

// writer gives pieces to a store, each of them durable before the next is begun. The guest runs on while a piece becomes durable.
type writer struct {
	store Store
	log   *slog.Logger

	mu   sync.Mutex
	idle sync.Cond
	busy bool
	err  error // of the last piece
}

func newWriter(s Store, log *slog.Logger) *writer {
	w := &writer{store: s, log: log}
	w.idle.L = &w.mu
	return w
}

// write returns when p is written, and the error of this piece or of the one before.
func (w *writer) write(p []byte, offset int64) error {
	if w.store == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy {
		w.idle.Wait()
	}
	if _, err := w.store.WriteAt(p, offset); err != nil {
		return err
	}
	w.busy = true
	go w.settle()
	err := w.err
	w.err = nil
	return err
}

func (w *writer) settle() {
	defer guard.Panic(w.log, "flash store")
	err := errors.New("the store did not answer")
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy, w.err = false, err
		w.idle.Broadcast()
	}()
	err = w.store.Sync()
}

// wait returns when everything is durable.
func (w *writer) wait() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy {
		w.idle.Wait()
	}
	err := w.err
	w.err = nil
	return err
}
