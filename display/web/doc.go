// Package web shows a machine's screen in a browser: a page with noVNC, and a WebSocket (RFC 6455) on which package vnc speaks to it.
//
// It listens on the loopback alone. Whoever opens the page must know its address, which holds a random token: other users of the host, and pages of other
// sites that run in the user's browser, do not. Requests for another host's name (DNS rebinding) and WebSockets of another origin are refused.
//
// The server speaks the part of HTTP/1.1 (RFC 9112) that this takes, one request on a connection: net/http would cost every machine's process more memory
// than its whole screen (see machine/control).
//
// Folder novnc holds the files of the release @novnc/novnc 1.7.0, as the npm registry has them, without its documentation. They are under the Mozilla
// Public License 2.0, but for those that its LICENSE.txt names.
package web
