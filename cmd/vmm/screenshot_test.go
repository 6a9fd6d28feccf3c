package main

import (
	"os"
	"strings"
	"testing"
)

func TestScreenshot(t *testing.T) {
	runtimeFolder(t)
	t.Chdir(t.TempDir())
	_, stop := serveControl("vm", &standIn{}, logger(newRoot()))
	defer stop()
	for _, test := range []struct{ args, file, want string }{
		{"screenshot vm", "vm.png", "a picture"},
		{"screenshot vm -o boot.png --screen 0", "boot.png", "a picture"},
		{"screenshot vm -o -", "", "a picture"},
	} {
		got, err := command(t, strings.Fields(test.args)...)
		if err != nil {
			t.Errorf("%s: %v", test.args, err)
			continue
		}
		if test.file != "" {
			b, err := os.ReadFile(test.file)
			if err != nil || got != "" {
				t.Errorf("%s: printed %q, %v", test.args, got, err)
			}
			got = string(b)
		}
		if got != test.want {
			t.Errorf("%s: %q", test.args, got)
		}
	}
	for args, want := range map[string]string{
		"screenshot vm --screen 7 -o no.png":    "there is no such screen",
		"screenshot other":                      "no such machine is running",
		"screenshot vm -o missing/folder/x.png": "write the picture",
	} {
		if _, err := command(t, strings.Fields(args)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	if _, err := os.Stat("no.png"); err == nil {
		t.Error("a file without a picture was written")
	}
}
