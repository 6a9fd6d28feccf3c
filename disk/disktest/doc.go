// Package disktest is the one test suite that every disk format runs: [Run] for behaviour, [Crash] for power failures, and helpers to
// let other people's programs judge the images.
package disktest
