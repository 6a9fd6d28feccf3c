package house

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// unread are the parts of a machine's description that are kept for VMware and looked at by nobody, and what tells a user so.
var unread = map[string]string{
	"Firmware.NVRAM":   "the reason that vmm lint gives",
	"NIC.MACSource":    "nothing: an address is an address",
	"Serial.Address":   "vmx.TestUnserved",
	"Serial.Server":    "vmx.TestUnserved",
	"Serial.YieldPoll": "nothing: a guest that polls a UART is let poll",
	"Power.Off":        "vmx.TestUnserved",
	"Power.Reset":      "the reason that vmm lint gives",
	"Power.Suspend":    "the reason that vmm lint gives",
	"Tools.Backdoor":   "nothing: there is none to close",
	"Tools.SyncTime":   "vmx.TestUnserved",
	"Tools.GuestInfo":  "vmx.TestUnserved",
	"USB.UHCI":         "vmx.TestUnserved",
	"USB.EHCI":         "vmx.TestUnserved",
	"USB.XHCI":         "vmx.TestUnserved",
	"USB.UHCISlot":     "vmx.TestUnserved",
	"USB.EHCISlot":     "vmx.TestUnserved",
	"USB.XHCISlot":     "vmx.TestUnserved",
	"VNC.KeyMap":       "vmx.TestUnserved",
	"Vsock.CID":        "vmx.TestUnserved",
	"Machine.Power":    "its parts",
	"Machine.USB":      "its parts",
	"Machine.Vsock":    "its parts",
}

// TestConfigIsRead checks that somebody looks at each part of a machine's description beyond the packages that read and write it: what the linter calls honoured has to lead somewhere.
func TestConfigIsRead(t *testing.T) {
	const described = module + "config"
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export,Dir,GoFiles,Imports", module+"cmd/vmm").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	type listed struct {
		ImportPath, Export, Dir string
		GoFiles, Imports        []string
	}
	exports := map[string]string{}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		ours := p.ImportPath == described || strings.HasPrefix(p.ImportPath, module) && !within(p.ImportPath, described)
		for _, i := range p.Imports {
			if ours && (i == described || p.ImportPath == described) {
				packages = append(packages, p)
				break
			}
		}
	}
	fset := token.NewFileSet()
	from := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	fields, read := map[string]bool{}, map[string]bool{}
	for _, p := range packages {
		var files []*ast.File
		for _, name := range p.GoFiles {
			if p.ImportPath == described && name == "validate.go" {
				continue // which looks at everything; its own functions are no part of what follows
			}
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
		c := types.Config{Importer: from, Error: func(error) {}} // without validate.go something is missing
		pkg, _ := c.Check(p.ImportPath, fset, files, info)
		names := map[types.Object]string{}
		config := pkg
		for _, i := range pkg.Imports() {
			if i.Path() == described {
				config = i
			}
		}
		for _, name := range config.Scope().Names() {
			if s, ok := config.Scope().Lookup(name).Type().Underlying().(*types.Struct); ok {
				for i := range s.NumFields() {
					if f := s.Field(i); f.Exported() {
						names[f] = name + "." + f.Name()
						fields[names[f]] = true
					}
				}
			}
		}
		set := map[*ast.Ident]bool{} // by a literal, which is no look
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.Ident); ok {
						set[key] = true
					}
				}
				return true
			})
		}
		for id, o := range info.Uses {
			if name := names[o]; name != "" && !set[id] {
				read[name] = true
			}
		}
	}
	for name := range fields {
		if _, ok := unread[name]; !read[name] && !ok {
			t.Errorf("config.%s is set by a .vmx, and nobody looks at it: have vmm lint say so (config/vmx/unserved.go), or do it", name)
		}
	}
	for name := range unread {
		if !fields[name] || read[name] {
			t.Errorf("config.%s is there: %t, and looked at: %t", name, fields[name], read[name])
		}
	}
	if len(fields) < 100 || len(packages) < 5 {
		t.Errorf("%d fields, %d packages", len(fields), len(packages))
	}
}
