//go:build !race

package virtiotest

// raceDetector says whether the tests were built with it.
const raceDetector = false
