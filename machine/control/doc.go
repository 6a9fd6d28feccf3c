// Package control is the way to a running machine: HTTP with JSON on a Unix socket of the machine's own, in the user's runtime folder.
//
//	$XDG_RUNTIME_DIR/vmm/           0700, of the user
//	  .lock                         held while machines are added and removed
//	  ID/                           0700, a running machine; ID is made of its name
//	    lock                        held for as long as the machine's process lives
//	    control.sock                0600
//
// A machine opens its [Socket] before its sandbox closes the way there, and so cannot remove it again: a folder whose lock nobody holds is
// left over, and whoever comes next removes it. Clients find machines by [List] and speak to one through a [Client].
//
// The protocol is described by openapi.json, which the socket serves as well; everything in it is below /v1. Only the user's own processes and
// root are answered (SO_PEERCRED, unix(7)), which the folder's mode asks for as well. So clients are not hostile, but may be broken: what one of
// them sends is bounded, as are the time it may take and the number of them at once.
//
// The server speaks the part of HTTP/1.1 (RFC 9112) that this takes, one request on a connection: net/http would add 2.7 MiB to
// the memory of a machine's process (PSS) and half a millisecond to its start.
package control
