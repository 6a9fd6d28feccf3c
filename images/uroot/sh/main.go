// Command sh is u-root's gosh under the name that everybody calls a shell by: a busybox goes by the name it was called with.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	const shell = "/bin/gosh"
	err := syscall.Exec(shell, append([]string{shell}, os.Args[1:]...), os.Environ())
	fmt.Fprintf(os.Stderr, "sh: %s: %v\n", shell, err)
	os.Exit(127)
}
