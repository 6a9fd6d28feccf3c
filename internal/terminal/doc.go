// Package terminal joins the user's terminal to a guest's console: raw mode, the escape key, window size.
package terminal
