// Command cmd runs `vmm nested` alone, for working on the nested host itself: go run ./images/nested/cmd -- CMD...
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/sharevm/vmm/images/nested"
	"github.com/sharevm/vmm/images/nested/agent"
	"github.com/sharevm/vmm/internal/debian"
)

func main() {
	agent.RunIfInit()
	c := nested.Config{Progress: func(line string) { fmt.Fprintln(os.Stderr, "nested:", line) }}
	flag.IntVar(&c.MemoryMiB, "mem", 0, "memory of the guest in `MiB`")
	flag.IntVar(&c.CPUs, "cpus", 0, "`processors` of the guest")
	flag.DurationVar(&c.Timeout, "timeout", 0, "kill the command after this `time`")
	flag.StringVar((*string)(&c.Kernel), "kernel", string(debian.Generic), "kernel `flavour`: generic or cloud")
	flag.StringVar((*string)(&c.Accel), "accel", string(nested.TCG), "accelerator: tcg or kvm")
	flag.BoolVar(&c.Isolated, "isolated", false, "show the guest only the shared folders")
	flag.Func("share", "share `DIR` read-write", func(s string) error { c.Shares = append(c.Shares, s); return nil })
	flag.Func("publish", "forward `HOST:GUEST`", func(s string) error {
		f, err := nested.ParseForward(s)
		c.Publish = append(c.Publish, f)
		return err
	})
	verbose := flag.Bool("verbose", false, "show the outer console")
	flag.Parse()
	if *verbose {
		c.Console = os.Stderr
	}
	c.Args = flag.Args()
	status, err := nested.Run(context.Background(), c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nested:", err)
	}
	os.Exit(status)
}
