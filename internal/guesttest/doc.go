// Package guesttest runs real guests on real KVM through the vmm command, as a user does. Its tests run where VMM_GUEST_TESTS names
// the folder of a test kit (images/testguest/kit) and VMM_BIN the command: `make test` arranges both in the nested host.
package guesttest
