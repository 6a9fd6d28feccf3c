// Package vdagent is the host's end of the SPICE agent protocol (spice-protocol, vd_agent.h), which Debian's spice-vdagent speaks in a guest on the port
// com.redhat.spice.0 of a virtio console. It shares the clipboard's text with the guest, and tells it what size the screen should have.
//
// A message is cut into chunks of at most 2 KiB, each with a header of its own. Both sides say first what they can (ANNOUNCE_CAPABILITIES). A side whose user copies
// something claims the clipboard (CLIPBOARD_GRAB), and hands the text over when the other side asks for it (CLIPBOARD_REQUEST, CLIPBOARD). Text in UTF-8 on the
// selection CLIPBOARD is shared, and nothing else.
//
// The guest's bytes are hostile: a message is kept up to the length of the longest text, longer ones are passed over, texts that were not asked for are dropped, and what is to be
// sent is a set of flags, so that a guest which asks again and again and never reads costs nothing. After bytes that make no sense the port is closed to the guest,
// until the agent there opens it again.
//
// Time is not part of the protocol: a guest takes it from KVM's clock.
package vdagent
