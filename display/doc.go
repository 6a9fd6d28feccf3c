// Package display is what a machine shows: a [Surface] has pixels in shared memory, the damage that each of its viewers has not seen yet, a
// hardware cursor, and a way back for the viewer's wish for another size.
//
// A graphics device is the [Source] of a surface. It says with [Surface.Show] where the pixels are and with [Surface.Damage] what
// changed of them; nothing is copied. A frontend is a [Viewer]:
//
//	v := surface.NewViewer()
//	defer v.Close()
//	for v.Wait(done, time.Second/60) {
//		u := v.Update()
//		// draw u.Damage of u.Frame, and u.Cursor
//	}
//
// A surface outlives the devices that draw on it: through a reset of the machine its viewers stay, and see a [Frame] that is empty until the
// next device shows one.
//
// # Threads
//
// All methods of Surface may be called from any goroutine. A Viewer belongs to one goroutine, but for its Close. The surface has two locks: one that
// viewers hold while they call the source, and one for its own fields under which it calls nobody. A source may therefore call Show, Damage, SetCursor
// and MoveCursor with its own lock held, also from inside Refresh, Watched and Wish; Attach, Detach and the viewers' methods it must call without.
// When Detach has returned, no call to the source is running, nor will there be one.
//
// # Memory
//
// Pixels lie in a [Memory], a memfd of a fixed size. A viewer holds the one of its last Update until its next, so that it never looks at memory that has
// gone, or beyond the end of a buffer that shrank; whoever was handed the file descriptor (another process) may keep its own mapping as long as it likes.
// The guest goes on drawing meanwhile: a picture may hold parts of two of its frames, and what changed in between is damage of the next Update.
package display
