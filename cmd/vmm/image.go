package main

import (
	"fmt"
	"os"

	"github.com/sharevm/vmm/images/browser"
	"github.com/sharevm/vmm/images/browser/kernel"
	"github.com/spf13/cobra"
)

func newImage() *cobra.Command {
	c := &cobra.Command{
		Use:     "image",
		Short:   "Make machines of our own",
		Long:    "Makes the machines that come with vmm, from pinned packages of Debian.",
		Example: "  vmm image build browser out/browser",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newImageBuild())
	return c
}

func newImageBuild() *cobra.Command {
	var (
		init  string
		small string
		lock  string
	)
	c := &cobra.Command{
		Use:   "build browser|kernel FOLDER",
		Short: "Make the browser machine, or a small kernel for it, or bring them up to date",
		Long: `Makes FOLDER/chromeos.vmx, a disposable machine that shows Chromium on the whole screen, from Debian packages whose versions and checksums are
fixed: equal versions give equal files. The packages, 227 MB, are fetched with apt (as any user) and cached. A .vmx that was changed is kept.
The init of the guest is compiled from the project's sources, so this runs in their folder, unless --init names it.

With kernel instead of browser it compiles a kernel from Debian's sources that holds what this machine needs and nothing else, which takes a quarter of an
hour on two processors; browser --kernel puts it into the machine instead of Debian's own.`,
		Example: `  vmm image build browser out/browser
  vmm run --web out/browser/chromeos.vmx
  vmm image build kernel out/kernel-browser && vmm image build browser out/browser --kernel out/kernel-browser`,
		Args:      cobra.ExactArgs(2),
		ValidArgs: []string{"browser", "kernel"},
		RunE: func(c *cobra.Command, args []string) error {
			p := newProgress(os.Stderr)
			defer p.done()
			switch args[0] {
			case "browser":
			case "kernel":
				return kernel.Build(c.Context(), args[1], p.report)
			default:
				return &exitError{exitUsage, fmt.Errorf("there is no %q to build, only browser and kernel", args[0])}
			}
			if lock != "" {
				text, err := browser.Lock(c.Context(), p.report)
				if err != nil {
					return err
				}
				return os.WriteFile(lock, []byte(text), 0o644)
			}
			return browser.Build(c.Context(), args[1], browser.Options{Init: init, Kernel: small, Progress: p.report})
		},
	}
	c.Flags().StringVar(&init, "init", "", "`FILE` with the guest's compiled init")
	c.Flags().StringVar(&small, "kernel", "", "`FOLDER` of a small kernel to use instead of Debian's")
	c.Flags().StringVar(&lock, "update-lock", "", "build nothing, but write to `FILE` the newest versions of the packages (images/browser/packages.lock)")
	return c
}
