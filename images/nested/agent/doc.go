// Package agent is the first process of the nested host's guest. It is part of the program that started the guest: that program
// puts itself into the guest's initramfs, and RunIfInit, called first in its main, becomes the agent there.
//
// The agent loads the modules, sets up network and file systems as the host described them (package wire), runs the one command, carries
// its streams, signals and exit status, and ends; the host then ends the machine.
package agent
