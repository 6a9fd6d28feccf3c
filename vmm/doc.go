// Package vmm is the monitor's core: it ties guest RAM, buses, interrupts and vCPUs to one KVM virtual machine, and knows
// nothing of what board is built on it.
package vmm
