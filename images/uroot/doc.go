// Package uroot is the module of the guests' userland: its go.mod lists u-root's commands as tools. Package images/userland builds them.
package uroot
