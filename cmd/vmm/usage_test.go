package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples has the help of every command show how it is used, by its own name.
func TestExamples(t *testing.T) {
	seen := 0
	var look func(c *cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		if !c.Runnable() || c.Hidden {
			return
		}
		seen++
		if !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("%s has the example %q", c.CommandPath(), c.Example)
		}
	}
	look(newRoot())
	if seen < 50 {
		t.Errorf("%d commands", seen)
	}
}
