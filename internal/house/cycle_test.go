package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// cycledElsewhere are kinds of state without a snapshot test of their own: a part that is never saved but with its owner, whose test has it, or what is no device.
var cycledElsewhere = map[string]string{
	"virtio/queue.Queue":    "virtio/transport", // behind every virtio device's
	"virtio/balloon.Device": "virtio/virtiotest",
	"virtio/blk.Device":     "virtio/virtiotest",
	"virtio/console.Device": "virtio/virtiotest",
	"virtio/gpu.Device":     "virtio/virtiotest",
	"virtio/input.Device":   "virtio/virtiotest",
	"virtio/net.Device":     "virtio/virtiotest",
	"virtio/rng.Device":     "virtio/virtiotest",
	"devices/ata.Disk":      "devices/ahci", // and devices/ide
	"devices/ata.CDROM":     "devices/ahci",
	"devices/scsi.Disk":     "devices/scsi", // on an engine's bus
	"devices/scsi.CDROM":    "devices/scsi",
	"devices/ata.Result":    "devices/ahci",
	"machine.standIn":       "virtio/transport", // with a flag; machine.TestStandIns restores boards that have one
	"vmm.VM":                "vmm",              // processors and interrupt controllers, on KVM: vmm.TestSnapshot
}

// cycles are the ways to run the snapshot test that every device passes.
var cycles = map[string]bool{"statetest.Cycle": true, "virtiotest.SnapshotCycle": true}

// TestSnapshotCycles checks that whatever saves itself runs the generic snapshot test: a package has as many runs as kinds of devices, at least.
func TestSnapshotCycles(t *testing.T) {
	kinds, runs := map[string][]string{}, map[string]int{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		room, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "_test.go") || room == "virtio/virtiotest" {
			runs[room] += countCycles(file)
		} else {
			kinds[room] = append(kinds[room], restored(file)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for room, list := range kinds {
		own := 0
		for _, kind := range list {
			seen++
			by, elsewhere := cycledElsewhere[room+"."+kind]
			switch {
			case !elsewhere:
				own++
			case by == "virtio/virtiotest" && runs[room] == 0:
				t.Errorf("%s.%s is no virtio device that runs virtiotest.SnapshotCycle", room, kind)
			case by != "vmm" && runs[by] == 0:
				t.Errorf("%s.%s is said to be saved with %s, which does not run statetest.Cycle", room, kind, by)
			}
			delete(cycledElsewhere, room+"."+kind)
		}
		if own > runs[room] {
			t.Errorf("%s has %d kinds of devices that are saved (%s), and runs statetest.Cycle %d times", room, own, strings.Join(list, ", "), runs[room])
		}
	}
	for kind := range cycledElsewhere {
		t.Errorf("%s is said to be saved elsewhere, and is not there", kind)
	}
	if seen < 35 {
		t.Errorf("there are %d kinds of saved state only", seen)
	}
}

// restored are the types of a file with a method that takes a *state.Reader and is called Restore.
func restored(file *ast.File) (types []string) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv == nil || f.Name.Name != "Restore" || len(f.Type.Params.List) != 1 {
			continue
		}
		star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
		if !ok || selector(star.X) != "state.Reader" {
			continue
		}
		by := f.Recv.List[0].Type
		if p, ok := by.(*ast.StarExpr); ok {
			by = p.X
		}
		if name, ok := by.(*ast.Ident); ok {
			types = append(types, name.Name)
		}
	}
	return types
}

func countCycles(file *ast.File) (n int) {
	ast.Inspect(file, func(node ast.Node) bool {
		if call, ok := node.(*ast.CallExpr); ok && cycles[selector(call.Fun)] {
			n++
		}
		return true
	})
	return n
}

// selector is an expression a.b as text, or "".
func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + s.Sel.Name
}
