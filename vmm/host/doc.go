// Package host finds out what this machine's KVM is good for, and says what to do where it is not good enough.
package host
