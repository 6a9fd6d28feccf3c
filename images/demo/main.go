package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = `usage: demo build [--fresh] [--init FILE] FOLDER
       demo build-session [--fresh] [--init FILE] FOLDER
       demo run --vmm FILE [--timeout TIME] FOLDER
`

// errUsage is for command lines that make no sense.
var errUsage = errors.New("wrong command line")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	status, err := command(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		status = 2
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// command carries out a command line and returns the exit status.
func command(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 0, errUsage
	}
	flags := flag.NewFlagSet("demo "+args[0], flag.ContinueOnError)
	flags.Usage = func() {} // main prints it
	var (
		fresh   = flags.Bool("fresh", false, "")
		init    = flags.String("init", "", "")
		vmm     = flags.String("vmm", "", "")
		timeout = flags.Duration("timeout", 2*time.Minute, "")
	)
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() != 1 {
		return 0, errUsage
	}
	folder, err := filepath.Abs(flags.Arg(0))
	if err != nil {
		return 0, err
	}
	switch args[0] {
	case "build":
		return 0, build(ctx, folder, *init, *fresh, products)
	case "build-session":
		return 0, build(ctx, folder, *init, *fresh, sessionProducts)
	case "run":
		if *vmm == "" {
			return 0, errUsage
		}
		return run(ctx, *vmm, folder, *timeout)
	}
	return 0, errUsage
}

// say tells what takes long, or what the user would want to know.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "demo: "+format+"\n", args...) }
