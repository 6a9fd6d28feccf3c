//go:build cgo

package sandbox

// withCgo says that threads may exist which Go does not know and that C makes: neither can the layers be put on these, nor is it known
// what system calls they need. The product is built without; the race detector needs it.
const withCgo = true
