package virtio

import (
	"fmt"

	"github.com/sharevm/vmm/internal/worker"
	"github.com/sharevm/vmm/virtio/queue"
)

// PanicError is a panic of a device's worker.
type PanicError = worker.PanicError

// Workers are the goroutines of an active device. Their panics and errors break the device (Activation.Fail) and leave the machine running.
//
// A device starts them in Activate and Resume, and stops them in Deactivate and Pause. Start and Stop calls must not overlap.
type Workers struct{ group worker.Group }

// Serve starts a worker that calls handle whenever q may hold work, at once for the first time. handle pops until the queue
// is empty, pushes and publishes; when it wants to return earlier for fairness, it is called again. It may wait on q.Kick itself, for
// something else that signals it.
func (w *Workers) Serve(a *Activation, q *queue.Queue, handle func(*queue.Queue) error) {
	w.Go(a, fmt.Sprintf("queue %d", q.Index), q.Kick.Signal, func() error {
		for !w.Stopping() {
			q.DisableNotifications()
			if err := handle(q); err != nil {
				return err
			}
			// handle may have taken the signal of Stop for its own, but Stopping was true before that signal.
			if q.EnableNotifications() || w.Stopping() {
				continue
			}
			if err := q.Kick.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Go starts a worker that runs until Stopping reports true. wake makes it look: it is called once, by Stop. name is for messages.
func (w *Workers) Go(a *Activation, name string, wake func(), run func() error) {
	w.group.Go(name, wake, run, a.Fail)
}

// Stopping says whether Stop has been called; long-running workers ask between requests.
func (w *Workers) Stopping() bool { return w.group.Stopping() }

// Stop wakes all workers and returns when they have ended. It is idempotent; afterwards workers may be started again.
func (w *Workers) Stop() { w.group.Stop() }
