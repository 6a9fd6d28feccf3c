package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/disk/tools"
	"github.com/sharevm/vmm/internal/bench/blockload"
	"github.com/sharevm/vmm/internal/bench/line"
	"github.com/sharevm/vmm/internal/bench/report"
)

// blockBytes is the size of the disk that is loaded. All of it is allocated, and none of it is zeroes.
const blockBytes = 128 << 20

// blockDisks are the files that the guests' disk is made of, in the order of the report.
var blockDisks = []struct{ name, file string }{
	{"raw", "block.raw"},
	{"vmdk", "block.vmdk"},
}

// blockPeers are the monitors that serve a disk. All of them let the guest cache writes in the host's page cache until it asks for a
// flush: QEMU calls that cache=writeback.
var blockPeers = []struct {
	name    string
	command func(f *files, format, disk string) ([]string, error)
}{
	{report.Ours, vmmOnDisk},
	{"QEMU io_uring", qemuOnDisk("aio=io_uring")},
	{"QEMU threads", qemuOnDisk("aio=threads")},
}

// blockRounds lets the monitors take turns on one disk after the other.
func blockRounds(ctx context.Context, o options, f *files, r *report.Report) error {
	if err := makeDisks(ctx, f.dir); err != nil {
		return err
	}
	failures := make(map[string]int)
	for round := range o.rounds {
		for _, d := range blockDisks {
			for _, p := range blockPeers {
				who := p.name + " " + d.name
				if failures[who] >= giveUp {
					continue
				}
				args, err := p.command(f, d.name, filepath.Join(f.dir, d.file))
				if err != nil {
					return err
				}
				if o.verbose && round == 0 {
					fmt.Fprintf(os.Stderr, "%s:\n  %s\n", who, quoted(args))
				}
				got, err := runOnDisk(ctx, args)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if o.verbose {
					fmt.Fprintf(os.Stderr, "round %d: %s: %v; %v\n", round+1, who, got, err)
				}
				if err != nil {
					failures[who]++
					r.Note("round %d: block: %s: %v", round+1, who, err)
					continue
				}
				failures[who] = 0
				for i, l := range blockload.Loads {
					r.RateOf("block-"+d.name+"-"+l.Name, l.Unit(), p.name).Add(got[i])
				}
			}
		}
	}
	r.Note("block: files on the nested host's tmpfs, which has no O_DIRECT, and so neither cache=none nor aio=native for QEMU; every monitor's " +
		"writes are durable after the guest's flush")
	return nil
}

// makeDisks makes the same disk in each format.
func makeDisks(ctx context.Context, dir string) error {
	raw := filepath.Join(dir, blockDisks[0].file)
	content := make([]byte, blockBytes)
	for i := range content {
		content[i] = byte(i%251) + 1
	}
	if err := os.WriteFile(raw, content, 0o644); err != nil {
		return err
	}
	to := filepath.Join(dir, blockDisks[1].file)
	_, err := tools.Convert(ctx, raw, to, tools.ConvertOptions{Out: disk.CreateOptions{Variant: "monolithicSparse"}})
	return err
}

// runOnDisk starts a monitor, takes the time of what its guest does to its disk, and ends it. The figures are in the order of
// blockload.Loads.
func runOnDisk(ctx context.Context, args []string) ([]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		return nil, err
	}
	var (
		console tail
		begun   time.Time
		got     = make([]float64, 0, len(blockload.Loads))
	)
	err = errors.New("the guest ended before its disk was loaded")
	for s := bufio.NewScanner(out); s.Scan(); {
		now := time.Now()
		text := strings.TrimSpace(s.Text())
		console.add(text)
		if _, why, failed := strings.Cut(text, line.Failed); failed {
			err = errors.New(why)
			break
		}
		name, accesses, ends := blockload.Parse(text)
		if name == "" {
			continue
		}
		if !ends {
			begun = now
			continue
		}
		if len(got) == len(blockload.Loads) || blockload.Loads[len(got)].Name != name {
			err = fmt.Errorf("unexpected load %q", name)
			break
		}
		got = append(got, blockload.Loads[len(got)].Rate(accesses, now.Sub(begun)))
		if len(got) == len(blockload.Loads) {
			err = nil
			break
		}
	}
	cancel() // kills it
	_ = c.Wait()
	if err != nil {
		err = fmt.Errorf("%w; the console's end: %s", err, console.String())
	}
	return got, err
}

// loading is the kernel's command line of a guest that loads its disk.
const loading = cmdline + " -- " + blockload.Argument

func vmmOnDisk(f *files, _, disk string) ([]string, error) {
	var b strings.Builder
	for _, kv := range [][2]string{
		{".encoding", "UTF-8"}, {"config.version", "8"}, {"virtualHW.version", "19"}, {"guestOS", "debian12-64"},
		{"displayName", "bench"}, {"memsize", strconv.Itoa(ramMiB)},
		{"vmm.kernel", f.kernels[formats[0]]}, {"vmm.initrd", f.initrd}, {"vmm.cmdline", loading},
		{"scsi0.present", "TRUE"}, {"scsi0:0.present", "TRUE"}, {"scsi0:0.fileName", disk},
	} {
		fmt.Fprintf(&b, "%s = %q\n", kv[0], kv[1])
	}
	vmx := filepath.Join(f.dir, "block.vmx")
	return []string{f.vmm, "run", "--allow-outside", vmx}, os.WriteFile(vmx, []byte(b.String()), 0o644)
}

func qemuOnDisk(aio string) func(*files, string, string) ([]string, error) {
	return func(f *files, format, disk string) ([]string, error) {
		return []string{
			f.qemu, "-machine", "pc", "-accel", "kvm", "-cpu", "host", "-m", strconv.Itoa(ramMiB), "-smp", "1",
			"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
			"-kernel", f.kernels[formats[0]], "-initrd", f.initrd, "-append", loading,
			"-drive", "id=disk,if=none,cache=writeback," + aio + ",format=" + format + ",file=" + disk, "-device", "virtio-blk-pci,drive=disk",
		}, nil
	}
}
