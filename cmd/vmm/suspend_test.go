package main

import (
	"os"
	"strings"
	"testing"
)

// TestSessionSuspend: what a session cannot suspend it says, and no machine of another process is taken for it.
func TestSessionSuspend(t *testing.T) {
	root := runtimeFolder(t)
	silent(t, root)
	m := &standIn{}
	_, stop := serveControl("vm", m, logger(newRoot()))
	defer stop()
	for pid, want := range map[int]string{os.Getpid(): "no .vmx", 1: "no such machine"} {
		if err := suspendProcess(t.Context(), pid); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("process %d: %v, want %q", pid, err, want)
		}
	}
	if len(m.did) > 0 {
		t.Errorf("the machine was told %v", m.did)
	}
	if _, err := command(t, "session", "--web", "--end", "never", "a.vmx"); err == nil || !strings.Contains(err.Error(), "poweroff or suspend") {
		t.Error(err)
	}
}
