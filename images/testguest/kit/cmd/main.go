// Command cmd makes a test kit in a folder: go run ./images/testguest/kit/cmd FOLDER
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sharevm/vmm/images/testguest/kit"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kit FOLDER")
		os.Exit(2)
	}
	say := func(line string) { fmt.Fprintln(os.Stderr, line) }
	if err := kit.Make(context.Background(), os.Args[1], say); err != nil {
		fmt.Fprintln(os.Stderr, "kit:", err)
		os.Exit(1)
	}
}
