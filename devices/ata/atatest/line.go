package atatest

import "sync"

// Line is an interrupt line that a test can wait at.
type Line struct {
	mu     sync.Mutex
	change sync.Cond
	high   bool
	rises  int
}

// NewLine returns a line that is low.
func NewLine() *Line {
	l := &Line{}
	l.change.L = &l.mu
	return l
}

// SetLevel implements irq.Line.
func (l *Line) SetLevel(high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if high && !l.high {
		l.rises++
	}
	l.high = high
	l.change.Broadcast()
}

// Wait returns when the line is high.
func (l *Line) Wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.high {
		l.change.Wait()
	}
}

// High is the level.
func (l *Line) High() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high
}

// Rises is how often the line went from low to high.
func (l *Line) Rises() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rises
}
