package disktest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tool is another program that knows disk images.
type Tool struct {
	t    testing.TB
	path string
}

// FindTool returns the program called name. Without it the test is skipped, saying which Debian package has it, or fails where the
// environment has CI=true.
func FindTool(t testing.TB, name, debianPackage string) Tool {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing; install %s", name, debianPackage)
		}
		t.Skipf("%s is missing; install %s to run this test", name, debianPackage)
	}
	return Tool{t, path}
}

// Run runs the program and returns its output; failure fails the test.
func (tool Tool) Run(args ...string) string {
	tool.t.Helper()
	out, code := tool.Try(args...)
	if code != 0 {
		tool.t.Fatalf("%s %s: exit status %d\n%s", tool.path, strings.Join(args, " "), code, out)
	}
	return out
}

// Try runs the program and returns its output and exit status.
func (tool Tool) Try(args ...string) (string, int) {
	tool.t.Helper()
	cmd := exec.Command(tool.path, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tool.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
