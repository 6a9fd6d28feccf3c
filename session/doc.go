// Package session shows several machines, each in a process of its own, on one screen: one is in front and has the keys and the pointer, and a hotkey
// turns to another. What a frontend shows is the front machine's own memory, so that turning copies nothing.
//
// A line of text over the picture (which machine this is, and how it is) is an overlay. Where a machine has no picture, the session draws into memory of its own.
package session
