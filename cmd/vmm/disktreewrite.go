package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/size"
)

// treeWriter prints a tree for people.
type treeWriter struct {
	album  *album
	folder string
	out    io.Writer
	err    error
}

func (t *treeWriter) line(prefix, text string) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.out, prefix+printable(text))
	}
}

// write prints n behind branch and what hangs on it behind below; both follow prefix.
func (t *treeWriter) write(n *tools.Node, prefix, branch, below string) {
	name := short(t.folder, n.Path)
	if n.Format != "" {
		name += fmt.Sprintf("  (%s, %s, %s here)", formatName(&tools.Description{Info: n.Info}), size.Format(n.Size), size.Format(n.Used))
	}
	t.line(prefix+branch, name)
	prefix += below
	notes := prefix + "    "
	if len(n.Children) > 0 {
		notes = prefix + "│   "
	}
	snapshots, machines := t.album.of(n.Path)
	for _, s := range snapshots {
		text := fmt.Sprintf("snapshot %q", s.Name)
		if !s.Created.IsZero() {
			text += ", " + s.Created.Local().Format(time.DateTime)
		}
		if s.Current {
			text += ", the current one"
		}
		t.line(notes, text)
		for line := range strings.Lines(s.Description) {
			t.line(notes+"  ", strings.TrimRight(line, "\r\n"))
		}
	}
	for _, s := range n.Internal {
		t.line(notes, fmt.Sprintf("snapshot %q inside the image, %s", s.Name, s.Created.Local().Format(time.DateTime)))
	}
	for _, m := range machines {
		t.line(notes, fmt.Sprintf("disk %s of %s", m.node, short(t.folder, m.file)))
	}
	if n.InUse {
		t.line(notes, "in use by another program")
	}
	if n.Problem != nil {
		t.line(notes, "! "+trouble(n))
	}
	for k, c := range n.Children {
		if k < len(n.Children)-1 {
			t.write(c, prefix, "├── ", "│   ")
		} else {
			t.write(c, prefix, "└── ", "    ")
		}
	}
}

// trouble names the usual problems of an image or of its link to its parent, and any other as it is.
func trouble(n *tools.Node) string {
	who := "it"
	if n.Format != "" {
		who = "its parent"
	}
	switch {
	case errors.Is(n.Problem, fs.ErrNotExist):
		return who + " is missing"
	case errors.Is(n.Problem, disk.ErrOutside):
		return who + " lies outside the folder; --allow-outside has it looked at"
	}
	return n.Problem.Error()
}

// treeNode is the JSON form of a [tools.Node].
type treeNode struct {
	Path      string         `json:"path"`
	Format    string         `json:"format,omitempty"`
	Variant   string         `json:"variant,omitempty"`
	Size      int64          `json:"size"`
	Used      int64          `json:"used"`
	ID        string         `json:"id,omitempty"`
	InUse     bool           `json:"in_use,omitempty"`
	Problem   string         `json:"problem,omitempty"`
	Snapshots []treeSnapshot `json:"snapshots,omitempty"`
	Internal  []treeSnapshot `json:"internal_snapshots,omitempty"`
	Machines  []treeMachine  `json:"machines,omitempty"`
	Children  []treeNode     `json:"children,omitempty"`
}

type treeSnapshot struct {
	ID          string     `json:"id,omitempty"`
	Name        string     `json:"name"`
	Description string     `json:"description,omitempty"`
	Created     *time.Time `json:"created,omitempty"`
	Current     bool       `json:"current,omitempty"`
	Disk        string     `json:"disk,omitempty"`
}

type treeMachine struct {
	File string `json:"file"`
	Disk string `json:"disk"`
}

func (a *album) json(nodes []*tools.Node) []treeNode {
	list := []treeNode{}
	for _, n := range nodes {
		j := treeNode{Path: n.Path, Format: n.Format, Variant: n.Variant, Size: n.Size, Used: n.Used, ID: n.ID, InUse: n.InUse}
		if n.Problem != nil {
			j.Problem = n.Problem.Error()
		}
		snapshots, machines := a.of(n.Path)
		for _, s := range snapshots {
			j.Snapshots = append(j.Snapshots, treeSnapshot{fmt.Sprint(s.UID), s.Name, s.Description, dated(s.Created), s.Current, s.node})
		}
		for _, s := range n.Internal {
			j.Internal = append(j.Internal, treeSnapshot{ID: s.ID, Name: s.Name, Created: dated(s.Created)})
		}
		for _, m := range machines {
			j.Machines = append(j.Machines, treeMachine{m.file, m.node})
		}
		if len(n.Children) > 0 {
			j.Children = a.json(n.Children)
		}
		list = append(list, j)
	}
	return list
}

func dated(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
