// Package link joins the process of a machine with the session that shows it, over a Unix socket: the session gets the machine's picture as shared memory, what
// changes of it, and how the machine is; the machine gets keys, pointer, focus and the wish for another size.
//
// A message is a byte that says what it is, the length of what follows (4 bytes, little endian), and that. A picture's memory comes along as an
// open file (unix(7), SCM_RIGHTS). Neither side trusts the other: a machine's process may have been taken over by its guest, so that lengths, geometries and
// rectangles are checked, the memory must be sealed, and a session that gets nonsense drops the machine; a slow reader bounds what its writer keeps.
package link
