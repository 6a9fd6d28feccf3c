package filecopy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCopy(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for path, text := range map[string]string{from: "new", to: "what was there, and longer"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Copy(from, to); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(to); string(b) != "new" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	for _, c := range [][2]string{{filepath.Join(dir, "none"), to}, {dir, to}, {from, filepath.Join(dir, "none", "to")}} {
		if err := Copy(c[0], c[1]); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s to %s: %v", c[0], c[1], err)
		}
	}
}
