// Package memory is the RAM of a guest: checked access to it for devices and loaders, and the file and mappings behind it.
package memory
