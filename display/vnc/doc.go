// Package vnc shows a machine's screen to VNC viewers and takes their keys: a server of the RFB protocol (RFC 6143), versions 3.3, 3.7 and 3.8.
//
// Beyond the RFC it knows the encodings and extensions of the community's description of the protocol (rfbproto) that viewers of today use: Tight (with JPEG only where it is asked for),
// ExtendedDesktopSize, QEMU's extended key events and LED state, cursors with alpha, the extended clipboard, and VeNCrypt with certificates.
//
// A viewer's messages are hostile input: each is bounded in size and time, and what makes no sense ends the connection. Pixels of the guest are copied
// before they are looked at. A viewer gets a picture only when it asks for one, with all that has changed since, so that a slow one costs nothing.
package vnc
