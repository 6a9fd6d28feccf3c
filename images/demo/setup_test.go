package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeDebian is a folder with programs that stand in for those of a Debian, where the given packages are installed. Each call of a
// fake that matters is a line of the file that log returns.
func fakeDebian(t *testing.T, installed, uid string) (path string, log func() string) {
	t.Helper()
	dir := t.TempDir()
	calls := filepath.Join(dir, "calls")
	for name, text := range map[string]string{
		"dpkg-query": `shift 3; for p; do case " ` + installed + ` " in *" $p "*) printf '%s:install ok installed ' $p;; *) false;; esac; done`,
		"apt-cache":  `[ -e ` + dir + `/lists ]`,
		"apt-get":    `echo apt-get "$@" >> ` + calls + `; case "$*" in *update*) : > ` + dir + `/lists;; esac`,
		"sudo":       `echo sudo "$@" >> ` + calls + `; exec "$@"`,
		"id":         `echo ` + uid,
		"go":         `echo go1.99.1`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() string {
		b, _ := os.ReadFile(calls) // there is none when nothing was called
		return string(b)
	}
}

func setup(t *testing.T, path string, args ...string) (said string, err error) {
	t.Helper()
	c := exec.Command("/bin/sh", append([]string{"../setup.sh"}, args...)...)
	c.Env = []string{"PATH=" + path + ":/usr/bin:/bin"}
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestSetupInstallsWhatIsMissing(t *testing.T) {
	const install = "apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "
	path, calls := fakeDebian(t, "", "0")
	if said, err := setup(t, path, "test"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	_, all, found := strings.Cut(strings.TrimSpace(calls()), install)
	if !found || !strings.Contains(all, " qemu-utils ") || !strings.Contains(all, " xz-utils ") || !strings.Contains(all, " acpica-tools ") {
		t.Fatalf("where nothing is installed it called\n%s", calls())
	}
	for _, c := range []struct {
		name, installed, uid, purpose string
		calls                         string
	}{
		{"nothing", all, "1000", "test", ""},
		{"two, without lists", strings.ReplaceAll(strings.ReplaceAll(all, "xz-utils ", ""), "acpica-tools ", ""), "0", "test",
			"apt-get -qq update\n" + install + "xz-utils acpica-tools\n"},
		{"by sudo", strings.ReplaceAll(all, "qemu-utils ", ""), "1000", "test",
			"sudo apt-get -qq update\napt-get -qq update\nsudo env DEBIAN_FRONTEND=noninteractive " + install + "qemu-utils\n" + install + "qemu-utils\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, calls := fakeDebian(t, c.installed, c.uid)
			said, err := setup(t, path, c.purpose)
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			if calls() != c.calls {
				t.Errorf("called\n%swant\n%s", calls(), c.calls)
			}
			if (said == "") != (c.calls == "") {
				t.Errorf("it said %q", said)
			}
		})
	}
}

func TestSetupRefuses(t *testing.T) {
	path, calls := fakeDebian(t, "", "0")
	if said, err := setup(t, path, "party"); err == nil || !strings.Contains(said, "unknown purpose") {
		t.Errorf("an unknown purpose: %v, %q", err, said)
	}
	if err := os.WriteFile(filepath.Join(path, "go"), []byte("#!/bin/sh\necho go1.19.8\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if said, err := setup(t, path, "run"); err == nil || !strings.Contains(said, "this is go1.19.8") {
		t.Errorf("an old Go: %v, %q", err, said)
	}
	if calls() != "" {
		t.Errorf("it called %s", calls())
	}
}
