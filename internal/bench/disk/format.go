package main

import (
	"context"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
)

// format is a kind of image that both programs read and write.
type format struct {
	name    string // in the report
	ext     string
	variant string
	qemu    string // qemu-img's name
	options string // qemu-img's -o
}

var kinds = []format{
	{"raw", ".raw", "", "raw", ""},
	{"vmdk", ".vmdk", "monolithicSparse", "vmdk", ""},
	{"stream", ".stream.vmdk", "streamOptimized", "vmdk", "subformat=streamOptimized"},
	{"vhd", ".vhd", "dynamic", "vpc", "force_size=on"},
	{"vhdx", ".vhdx", "dynamic", "vhdx", ""},
	{"vdi", ".vdi", "dynamic", "vdi", ""},
	{"qcow2", ".qcow2", "v3", "qcow2", ""},
}

// vmmConvert is vmm's command line for a conversion.
func (b *bench) vmmConvert(in, out string, to format) []string {
	args := []string{b.vmm, "disk", "convert", "--json", in, out}
	if to.variant != "" {
		args = append(args, "--variant", to.variant)
	}
	return args
}

// qemuConvert is qemu-img's, with cache mode cache for what it writes.
func (b *bench) qemuConvert(in, out string, from, to format, cache string) []string {
	args := []string{b.qemu, "convert", "-q", "-t", cache, "-f", from.qemu, "-O", to.qemu}
	if to.options != "" {
		args = append(args, "-o", to.options)
	}
	return append(args, in, out)
}

// copies makes an image of each format of the raw disk at from, and returns their paths in the order of kinds.
func (b *bench) copies(ctx context.Context, from, name string) ([]string, error) {
	paths := []string{from}
	for _, f := range kinds[1:] {
		path := b.path(name + f.ext)
		if _, err := tools.Convert(ctx, from, path, tools.ConvertOptions{Out: disk.CreateOptions{Variant: f.variant}}); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
