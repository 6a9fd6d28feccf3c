package userland

import (
	"os"
	"path"
	"reflect"
	"slices"
	"testing"
)

func TestTools(t *testing.T) {
	const mod = "module m\n\ntool github.com/a/cmds/one\n\ntool (\n\tgithub.com/b/makebb\n\tgithub.com/b/cmds/two\n)\n\nrequire (\n\tgithub.com/c/three v1.0.0\n)\n"
	if got, want := tools([]byte(mod)), []string{"github.com/a/cmds/one", "github.com/b/cmds/two"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q instead of %q", got, want)
	}
}

// The demo and the isolated nested host rely on these.
func TestTheUserlandHasItsCommands(t *testing.T) {
	mod, err := os.ReadFile("../uroot/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	b := BusyBox{Path: "bb"}
	for _, p := range tools(mod) {
		b.Commands = append(b.Commands, path.Base(p))
	}
	var names []string
	for _, f := range b.Files() {
		names = append(names, f.Name)
	}
	for _, want := range []string{"bin/bb", "bin/sh", "bin/gosh", "bin/ls", "bin/mount", "bin/dd", "bin/wget", "bin/poweroff"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing in %v", want, names)
		}
	}
}
