package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/sharevm/vmm/images/bootdisk"
	"github.com/sharevm/vmm/images/initramfs"
	"github.com/sharevm/vmm/internal/bench/report"
	"github.com/sharevm/vmm/internal/debian"
	"github.com/sharevm/vmm/internal/filecopy"
)

const (
	innerCommand = "inner"
	resultFile   = "nested.json"
	qemuCommand  = "qemu-system-x86_64"
	// nestedMemory is room for files, one guest at a time, and its monitor.
	nestedMemory = "4G"
	// snapshotMemory is room for what is saved, too.
	snapshotMemory = "6G"
	// machineMemory is that for a machine of a .vmx, with its disk, its RAM and what is saved of it, twice.
	machineMemory = "8G"
)

// modules are what the guest's devices need of the kernel, on any of the monitors.
var modules = []string{"virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng"}

// Names of what is built, in the folder that the nested host shares.
const (
	vmmFile, gokvmFile, benchFile, initFile = "vmm", "gokvm", "bench", "guest-init"
	vmlinuxFile, bzImageFile, initrdFile    = "vmlinux", "bzImage", "initrd"
	bootDiskFile                            = "boot.raw"
	// The guest that paints has the kernel with graphics drivers.
	answerInitFile, screenKernelFile, screenInitrdFile, screenDiskFile = "answer-init", "vmlinux-screen", "initrd-screen", "screen.raw"
)

// measureNested builds everything, and has the guests run in the nested host.
func measureNested(ctx context.Context, o options, r *report.Report) error {
	if _, err := exec.LookPath(qemuCommand); err != nil {
		return fmt.Errorf("QEMU is needed, as the nested host and as a peer: %w", err)
	}
	if err := build(ctx, o.dir); err != nil {
		return err
	}
	result := filepath.Join(o.dir, resultFile)
	_ = os.Remove(result)
	memory := nestedMemory
	if o.saves() {
		memory = snapshotMemory
	}
	cpus := 1
	if o.vmx != "" {
		memory, cpus = machineMemory, 2
	}
	if o.only == "switch" || o.only == "screen" { // as vmm session has it there
		cpus = 2
	}
	args := []string{"nested", "--mem", memory, "--cpus", strconv.Itoa(cpus), "--", filepath.Join(o.dir, benchFile), innerCommand,
		"-dir", o.dir, "-rounds", strconv.Itoa(o.rounds), "-only", o.only, "-vmx", o.vmx, "-verbose=" + strconv.FormatBool(o.verbose)}
	c := exec.CommandContext(ctx, filepath.Join(o.dir, vmmFile), args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stderr, os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("the nested host: %w", err)
	}
	b, err := os.ReadFile(result)
	if err != nil {
		return err
	}
	var inner report.Report
	if err := json.Unmarshal(b, &inner); err != nil {
		return fmt.Errorf("%s: %w", result, err)
	}
	r.Series = append(r.Series, inner.Series...)
	r.Notes = append(r.Notes, inner.Notes...)
	return nil
}

// build compiles vmm, gokvm, this command and the guest's init, and makes the initrd.
func build(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for file, pkg := range map[string]string{
		vmmFile:   vmmPackage,
		gokvmFile: "github.com/bobuhiro11/gokvm",
		benchFile: "github.com/sharevm/vmm/internal/bench",
		initFile:  "github.com/sharevm/vmm/internal/bench/guest",

		answerInitFile: "github.com/sharevm/vmm/images/testguest",
	} {
		if err := compile(ctx, filepath.Join(dir, file), pkg); err != nil {
			return err
		}
	}
	store, err := debian.Open("", func(s string) { fmt.Fprintln(os.Stderr, s) })
	if err != nil {
		return err
	}
	kernel, err := store.Kernel(ctx, debian.Cloud)
	if err != nil {
		return err
	}
	if err := filecopy.Copy(kernel.Vmlinux, filepath.Join(dir, vmlinuxFile)); err != nil {
		return err
	}
	if err := filecopy.Copy(kernel.Vmlinuz, filepath.Join(dir, bzImageFile)); err != nil {
		return err
	}
	mods, err := initramfs.Modules(kernel.ModulesDir, modules...)
	if err != nil {
		return err
	}
	if err := writeInitrd(filepath.Join(dir, initrdFile), initramfs.Config{Init: filepath.Join(dir, initFile), Modules: mods}); err != nil {
		return err
	}
	if err := buildScreen(ctx, store, dir); err != nil {
		return err
	}
	return bootdisk.Build(ctx, filepath.Join(dir, bootDiskFile), bootdisk.Config{
		Kernel: filepath.Join(dir, bzImageFile), Initrd: filepath.Join(dir, initrdFile), Cmdline: cmdline, Size: 48 << 20,
	})
}

// vmmPackage is the program under test.
const vmmPackage = "github.com/sharevm/vmm/cmd/vmm"

// compile builds a program, static as the Makefile has it.
func compile(ctx context.Context, file, pkg string) error {
	ldflags := "-s -w"
	if pkg == vmmPackage {
		ldflags += " -X runtime.godebugDefault=disablethp=1"
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ldflags, "-o", file, pkg)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// buildScreen makes what the guest that paints starts from.
func buildScreen(ctx context.Context, store *debian.Store, dir string) error {
	kernel, err := store.Kernel(ctx, debian.Generic)
	if err != nil {
		return err
	}
	if err := filecopy.Copy(kernel.Vmlinux, filepath.Join(dir, screenKernelFile)); err != nil {
		return err
	}
	mods, err := initramfs.Modules(kernel.ModulesDir, append([]string{"virtio_gpu", "virtio_input", "evdev", "bochs"}, modules...)...)
	if err != nil {
		return err
	}
	if err := writeModules(kernel, filepath.Join(dir, modulesDir)); err != nil {
		return err
	}
	return writeInitrd(filepath.Join(dir, screenInitrdFile), initramfs.Config{Init: filepath.Join(dir, answerInitFile), Modules: mods})
}

func writeInitrd(path string, c initramfs.Config) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return initramfs.Build(f, c)
}

// runInner measures what needs a host with KVM. It runs in the nested host.
func runInner(ctx context.Context, o options) error {
	qemu, err := exec.LookPath(qemuCommand)
	if err != nil {
		return err
	}
	f, err := stage(o.dir, qemu)
	if err != nil {
		return err
	}
	defer os.RemoveAll(f.dir)
	var r report.Report
	if o.only == "" || o.only == "start" {
		if err := measureNestedStart(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "boot" || o.only == "memory" {
		if err := bootRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "firmware" {
		if err := firmwareRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "block" {
		if err := blockRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "network" {
		if err := measureNetwork(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "background" {
		if err := backgroundRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "screen" {
		if err := screenRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "switch" {
		if err := switchRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "snapshot" {
		if err := snapshotRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	if o.only == "density" {
		if err := densityRounds(ctx, o, f, &r); err != nil {
			return err
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.dir, resultFile), b, 0o644)
}

// stage copies what the guests boot from into the nested host's memory: the folder that it shares with its host answers at other
// speeds from one read to the next.
func stage(from, qemu string) (*files, error) {
	dir, err := os.MkdirTemp("/dev/shm", "bench")
	if err != nil {
		return nil, err
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{vmmFile, gokvmFile, vmlinuxFile, bzImageFile, initrdFile, bootDiskFile, screenKernelFile, screenInitrdFile} {
		if err := filecopy.Copy(filepath.Join(from, name), at(name)); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{vmmFile, gokvmFile} {
		if err := os.Chmod(at(name), 0o755); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(at(screenDiskFile), make([]byte, 1<<20), 0o644); err != nil {
		return nil, err
	}
	return &files{
		dir: dir, vmm: at(vmmFile), gokvm: at(gokvmFile), qemu: qemu, initrd: at(initrdFile), bootDisk: at(bootDiskFile),
		screenKernel: at(screenKernelFile), screenInitrd: at(screenInitrdFile), screenDisk: at(screenDiskFile), modules: filepath.Join(from, modulesDir),
		kernels: map[string]string{formats[0]: at(vmlinuxFile), formats[1]: at(bzImageFile)},
	}, nil
}
