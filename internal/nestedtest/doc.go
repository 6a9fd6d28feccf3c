// Package nestedtest holds tests of what vmm does with the nested host from outside: make test runs them.
package nestedtest
