// Package journal keeps what a machine has said, for those who ask later: also when it has ended, and why.
//
//	$XDG_STATE_HOME/vmm/            0700, of the user (~/.local/state/vmm)
//	  ID.log                        of the machine of that id: one that runs holds a lock on it
//	  ID.log.1                      what came before
//
// A file is text, a line for each line: time (RFC 3339, UTC), source ([Guest] or [Host]), text. What a guest prints is hostile: control characters and
// escape sequences are taken out before it is written, lines are cut, and neither their rate nor the files' size is up to the guest.
//
// A machine's process opens its files before its sandbox closes the way there. So a full file is copied to the older one and emptied, as
// logrotate(8) does with copytruncate, instead of being renamed.
package journal
