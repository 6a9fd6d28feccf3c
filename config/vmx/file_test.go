package vmx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func parse(t testing.TB, text string) *File {
	t.Helper()
	f, err := Parse("test.vmx", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLines(t *testing.T) {
	for _, c := range []struct {
		line, key, value, problem string
	}{
		{`a = "b"`, "a", "b", ""},
		{`a="b"`, "a", "b", ""},
		{"\ta.b:c\t=\t\"b c\"  # note", "a.b:c", "b c", ""},
		{`a = "b" // note`, "a", "b", ""},
		{`a = "b#c//d"`, "a", "b#c//d", ""},
		{`a = ""`, "a", "", ""},
		{`a =`, "a", "", ""},
		{`a = b c # note`, "a", "b c", ""},
		{`a = http://x#y`, "a", "http://x#y", ""},
		{`a = # note`, "a", "", ""},
		{`a = "x|22y|7Cz|0a"`, "a", "x\"y|z\n", ""},
		{`a = "|00|zz|2|"`, "a", "|00|zz|2|", ""},
		{`a = b="c"`, "a", `b="c"`, ""},
		{`a = "b`, "a", "b", "closing quote"},
		{`a = "b "c" d"`, "a", "b ", "text after the closing quote"},
		{`# a = "b"`, "", "", ""},
		{`  // a = "b"`, "", "", ""},
		{"", "", "", ""},
		{" \t", "", "", ""},
		{`swap.vswp"`, "", "", "not of the form"},
		{`= "b"`, "", "", "not of the form"},
		{`a b = "c"`, "", "", "not of the form"},
		{`"a" = "c"`, "", "", "not of the form"},
		{"\xef\xbb\xbfa = \"b\"", "a", "b", "byte order mark"},
	} {
		for _, eol := range []string{"", "\n", "\r\n"} {
			f := parse(t, c.line+eol)
			if f.String() != c.line+eol {
				t.Fatalf("%q does not survive", c.line)
			}
			value, ok := f.Get(c.key)
			if ok != (c.key != "") || value != c.value {
				t.Errorf("%q: %q = %q, %v; want %q", c.line, c.key, value, ok, c.value)
			}
			problem := ""
			if len(f.lines) > 0 {
				problem = f.lines[0].problem
			}
			if (problem == "") != (c.problem == "") || !strings.Contains(problem, c.problem) {
				t.Errorf("%q: problem %q, want %q", c.line, problem, c.problem)
			}
		}
	}
}

func TestKeysFoldAndLastWins(t *testing.T) {
	f := parse(t, "DisplayName = \"one\"\nmemsize = \"4\"\ndisplayname = \"two\"\n")
	if v, ok := f.Get("DISPLAYNAME"); !ok || v != "two" {
		t.Errorf("Get = %q, %v", v, ok)
	}
	if n := f.Line("displayName"); n != 3 {
		t.Errorf("Line = %d, want 3", n)
	}
	if keys := strings.Join(f.Keys(), " "); keys != "displayname memsize" {
		t.Errorf("Keys = %q", keys)
	}
}

func TestSetAndDelete(t *testing.T) {
	const before = "# head\r\nmemSize  =\t\"512\"   # RAM\r\nA = 1\r\nmemsize = \"256\"\r\nbroken = \"a \"b\" c\r\nlast = \"x\""
	for _, c := range []struct {
		name string
		edit func(*File) error
		want string
	}{
		{"keeps spacing and comment, drops doubles", func(f *File) error { f.Delete("a"); return f.Set("MEMSIZE", "1024") },
			"# head\r\nmemsize = \"1024\"\r\nbroken = \"a \"b\" c\r\nlast = \"x\""},
		{"quotes a bare value", func(f *File) error { return f.Set("a", "two words") },
			"# head\r\nmemSize  =\t\"512\"   # RAM\r\nA = \"two words\"\r\nmemsize = \"256\"\r\nbroken = \"a \"b\" c\r\nlast = \"x\""},
		{"mends a broken line", func(f *File) error { return f.Set("broken", `a "b" c`) },
			"# head\r\nmemSize  =\t\"512\"   # RAM\r\nA = 1\r\nmemsize = \"256\"\r\nbroken = \"a |22b|22 c\"\r\nlast = \"x\""},
		{"adds at the end", func(f *File) error { return f.Set("New.Key", "1|2#3\n") },
			before + "\r\nNew.Key = \"1|7C2|233|0A\"\r\n"},
		{"deletes every definition", func(f *File) error { f.Delete("memsize"); return nil },
			"# head\r\nA = 1\r\nbroken = \"a \"b\" c\r\nlast = \"x\""},
		{"deletes nothing", func(f *File) error {
			if f.Delete("nothing") {
				return errors.New("Delete found something")
			}
			return nil
		}, before},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := parse(t, before)
			if err := c.edit(f); err != nil {
				t.Fatal(err)
			}
			if f.String() != c.want {
				t.Errorf("got  %q\nwant %q", f, c.want)
			}
			again := parse(t, f.String())
			for _, key := range f.Keys() {
				v, _ := f.Get(key)
				if w, _ := again.Get(key); v != w {
					t.Errorf("%s is %q in memory and %q when read again", key, v, w)
				}
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	f := parse(t, ".encoding = \"windows-1252\"\n")
	before := f.String()
	for _, c := range [][2]string{{"", "x"}, {"a b", "x"}, {"a=", "x"}, {"#a", "x"}, {"//a", "x"}, {"a\n", "x"}, {"é", "x"}, {"a", "日本"}, {"a", "\x00"}, {"a", "\xff"}, {".Encoding", "UTF-8"}} {
		if err := f.Set(c[0], c[1]); err == nil {
			t.Errorf("Set(%q, %q) succeeded", c[0], c[1])
		}
	}
	if f.String() != before {
		t.Errorf("a refused Set changed the file: %q", f)
	}
	if err := f.Set("a", "café"); err != nil || !strings.HasSuffix(f.String(), "caf\xe9\"\n") {
		t.Errorf("Set in windows-1252: %v, %q", err, f)
	}
}

func TestCharsets(t *testing.T) {
	for _, c := range []struct{ encoding, raw, want string }{
		{"UTF-8", "日本", "日本"},
		{"Shift_JIS", "\x93\xfa\x96\x7b \x83\x5c", "日本 ソ"},
		{"Shift_JIS", "\x83\x7c|41", "ポA"}, // the second byte of po is a bar
		{"windows-932", "\x83\x5c", "ソ"},
		{"GBK", "\xb2\xe2\xca\xd4", "测试"},
		{"Big5", "\xb4\xfa\xb8\xd5", "測試"},
		{"EUC-KR", "\xc7\xd1", "한"},
		{"windows-1251", "\xcf\xd0", "ПР"},
		{"", "caf\xe9", "café"}, // not UTF-8, so windows-1252
		{"", "café", "café"},
		{"UTF-8", "|E6|97|A5|41", "日A"},
		{"UTF-8", "bad \xff", "bad \uFFFD"},
	} {
		text := "a = \"" + c.raw + "\"\n"
		if c.encoding != "" {
			text = ".encoding = \"" + c.encoding + "\"\n" + text
		}
		f := parse(t, text)
		if got, _ := f.Get("a"); got != c.want {
			t.Errorf("%s %q reads as %q, want %q", c.encoding, c.raw, got, c.want)
		}
		if f.String() != text {
			t.Errorf("%s %q does not survive", c.encoding, c.raw)
		}
		if strings.Contains(c.want, "\uFFFD") {
			continue
		}
		if err := f.Set("b", c.want); err != nil {
			t.Errorf("%s cannot hold %q: %v", c.encoding, c.want, err)
		}
		if got, _ := parse(t, f.String()).Get("b"); got != c.want {
			t.Errorf("%s: wrote %q, reads as %q", c.encoding, c.want, got)
		}
	}
}

func TestGetters(t *testing.T) {
	f := parse(t, "\nyes = \"TRUE\"\nno = off\nbad = \"maybe\"\nn = \"12\"\nhex = \"0x1F\"\nbig = \"99999999999999999999\"\nempty = \"\"\n")
	for key, want := range map[string]bool{"yes": true, "no": false, "empty": true, "missing": true} {
		if got, err := f.Bool(key, true); err != nil || got != want {
			t.Errorf("Bool(%s) = %v, %v", key, got, err)
		}
	}
	for key, want := range map[string]int64{"n": 12, "hex": 31, "empty": 7, "missing": 7} {
		if got, err := f.Int(key, 7, 0, 100); err != nil || got != want {
			t.Errorf("Int(%s) = %v, %v", key, got, err)
		}
	}
	for want, do := range map[string]func() error{
		`test.vmx:4: bad = "maybe" must be TRUE or FALSE`:                       func() error { _, err := f.Bool("BAD", false); return err },
		`test.vmx:5: n = "12" must be a number from 0 to 11`:                    func() error { _, err := f.Int("n", 0, 0, 11); return err },
		`test.vmx:7: big = "99999999999999999999" must be a number from 0 to 1`: func() error { _, err := f.Int("big", 0, 0, 1); return err },
		`test.vmx:2: yes = "TRUE" must be a number from -1 to 1`:                func() error { _, err := f.Int("yes", 0, -1, 1); return err },
	} {
		err := do()
		var bad *ValueError
		if !errors.As(err, &bad) || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestParseBounds(t *testing.T) {
	for want, data := range map[string]string{
		"x.vmx: too large for a .vmx file (4194305 bytes, at most 4194304)":                               strings.Repeat("a", MaxFileSize+1),
		"x.vmx: too large for a .vmx file (32768 lines, at most 32768)":                                   strings.Repeat("\n", MaxLines),
		"x.vmx:2: not a .vmx file: the line holds a NUL byte":                                             "a = \"b\"\nc = \"\x00\"\n",
		`x.vmx:1: .encoding = "UTF-16" is a character set that vmm does not know: save the file as UTF-8`: ".encoding = \"UTF-16\"\n",
	} {
		_, err := Parse("x.vmx", []byte(data))
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.vmx")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge.vmx")
	touch(t, huge)
	if err := os.Truncate(huge, 100<<20); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                              "it is a folder; name the .vmx file in it",
		fifo:                             "it is not a regular file",
		"/dev/zero":                      "it is not a regular file",
		huge:                             "too large for a .vmx file (104857600 bytes, at most 4194304)",
		filepath.Join(dir, "no.vmx"):     "no such file or directory",
		filepath.Join(huge, "below.vmx"): "not a directory",
	} {
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%s) = %v, want %q", path, err, want)
		}
	}
}

func TestSave(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.vmx"), filepath.Join(dir, "link.vmx")
	if err := os.WriteFile(path, []byte("a = \"1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.vmx", link); err != nil {
		t.Fatal(err)
	}
	f, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Set("a", "2"); err != nil {
		t.Fatal(err)
	}
	if err := f.Save(link); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(path); string(data) != "a = \"2\"\n" {
		t.Errorf("the file behind the link holds %q", data)
	}
	if info, _ := os.Lstat(link); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode became %v", info.Mode())
	}
	if err := f.Save(filepath.Join(dir, "missing", "a.vmx")); err == nil {
		t.Error("saved into a folder that does not exist")
	}
	if err := f.Save(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("saving over a folder: %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("temporary files were left: %v", entries)
	}
}
