// Package config holds [Machine], the neutral description of a virtual machine: what is plugged where, which files
// stand behind it, and how the user wants it run. Readers of foreign formats (config/vmx) produce one; the board in
// package machine consumes one. It knows nothing of KVM and opens no files.
//
// A Machine says what the guest is shown, already decided: defaults are filled in, paths are absolute and were checked
// by the reader, and the models of controllers and network adapters are the ones to present. A consumer needs no
// knowledge of the format it came from.
package config
