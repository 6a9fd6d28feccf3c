package display

import "image"

// Source is a device that draws on a surface. The surface calls it one call at a time.
type Source interface {
	// Watched tells whether the surface has viewers, when that changes and at Attach. A source that pays for knowing what changed
	// (a dirty log) does so only meanwhile.
	Watched(on bool)
	// Refresh is called when a viewer is about to look: a source that does not tell of changes by itself looks for them now, and calls Damage or Show.
	Refresh()
	// Polled says whether Refresh finds changes that nobody was told of. It may change from call to call.
	Polled() bool
	// Wish tells what size a viewer would like the picture to be, within 1 to MaxSize, at Attach too if there was a wish before. The guest may take it or leave it.
	Wish(size image.Point)
}
