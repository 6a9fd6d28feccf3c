// Package machine is the board: it turns a config.Machine into a running virtual machine.
//
// A Machine owns what outlives a power cycle: the open disk images, the network links, the console. Each power cycle builds a board of
// its own from them, fresh RAM and devices included, and takes it down again; so a guest's reboot, a triple fault and the
// first start are one code path, and a device needs no reset-to-power-on of its own that could forget something.
//
// The order of assembly stands in one place, board.go.
package machine
