package debian

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// run starts a Debian tool in a folder and returns what it printed.
func run(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s is missing: packages can be fetched on Debian and its relatives only", tool)
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w: %s", tool, args[0], err, lastLine(stderr.Bytes()))
	}
	return out, nil
}

// lastLine is what a tool said at the very end, which is where apt says what went wrong.
func lastLine(b []byte) string {
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.TrimSpace(lines[len(lines)-1]))
}

// packageName is what Debian's policy allows as a name (section 5.6.7).
var packageName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`) })

// show returns the fields of the candidate version of a package. Lists that are empty, as on a fresh machine, are
// fetched first.
func show(ctx context.Context, name string, progress Progress) (map[string]string, error) {
	if !packageName().MatchString(name) {
		return nil, fmt.Errorf("%q is not the name of a package", name)
	}
	args := []string{"show", "--no-all-versions", name}
	out, err := run(ctx, "", "apt-cache", args...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || len(out) == 0 {
		progress.say("apt-get update")
		if _, uerr := run(ctx, "", "apt-get", "-q", "update"); uerr != nil {
			return nil, fmt.Errorf("package %s is not in apt's lists, and updating them failed (as root: apt-get update): %w", name, uerr)
		}
		if out, err = run(ctx, "", "apt-cache", args...); err != nil {
			return nil, fmt.Errorf("finding package %s: %w", name, err)
		}
	}
	return control(out), nil
}

// control parses the first paragraph of a control file (deb822). Continuation lines are left out.
func control(b []byte) map[string]string {
	fields := map[string]string{}
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan() && sc.Text() != ""; {
		if k, v, ok := strings.Cut(sc.Text(), ":"); ok && !strings.ContainsAny(k, " \t") {
			fields[k] = strings.TrimSpace(v)
		}
	}
	return fields
}

// download puts the newest version of a package into dir and returns the file's path.
func download(ctx context.Context, dir, name string, progress Progress) (string, error) {
	fields, err := show(ctx, name, progress)
	if err != nil {
		return "", err
	}
	progress.say("downloading %s %s", name, fields["Version"])
	// Without this option apt run as root warns that its own user cannot write here.
	if _, err := run(ctx, dir, "apt-get", "-q", "-o", "APT::Sandbox::User=", "download", name); err != nil {
		return "", fmt.Errorf("downloading package %s: %w", name, err)
	}
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("downloading package %s: apt-get left %d files instead of one", name, len(debs))
	}
	return debs[0], nil
}

// unpack writes the files of a package below root.
func unpack(ctx context.Context, deb, root string) error {
	if _, err := run(ctx, "", "dpkg-deb", "--extract", deb, root); err != nil {
		return fmt.Errorf("unpacking %s: %w", filepath.Base(deb), err)
	}
	return nil
}
