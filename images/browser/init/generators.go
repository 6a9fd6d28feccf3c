package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// wipe has the running programs seed their generators of random numbers anew, and returns how many were told. Cryptographic libraries keep generators in their own memory, where the
// kernel's new seed does not reach them. So that a child does not go on with its parent's numbers they watch a page that the kernel wipes in children (MADV_WIPEONFORK, VmFlags wf in
// proc_pid_smaps(5)). A machine from a snapshot has as many twins as a child has parents, and so the pages are wiped here.
func wipe(processes []string) (told int, err error) {
	for _, p := range processes {
		n, e := wipeProcess(p)
		told += n
		if e != nil && !errors.Is(e, unix.ESRCH) && !gone(p) && err == nil {
			err = fmt.Errorf("random numbers of process %s: %w", filepath.Base(p), e)
		}
	}
	return told, err
}

// allProcesses are the folders of /proc of all processes.
func allProcesses() []string {
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	return all
}

func gone(process string) bool {
	_, err := os.Stat(process)
	return err != nil
}

func wipeProcess(process string) (told int, err error) {
	smaps, err := os.Open(process + "/smaps")
	if err != nil {
		return 0, err
	}
	defer smaps.Close()
	areas, err := wipedOnFork(smaps)
	if err != nil || len(areas) == 0 {
		return 0, err
	}
	mem, err := os.OpenFile(process+"/mem", os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer mem.Close()
	for _, a := range areas {
		if _, err := mem.WriteAt(make([]byte, a.end-a.start), a.start); err != nil {
			return told, err
		}
		told++
	}
	return told, nil
}

// area is a range of a process's addresses.
type area struct{ start, end int64 }

// maxWiped bounds an area in bytes: those that are watched have a page.
const maxWiped = 64 << 10

// wipedOnFork finds the areas that the kernel wipes in children.
func wipedOnFork(smaps io.Reader) (areas []area, err error) {
	var a area
	for s := bufio.NewScanner(smaps); ; {
		if !s.Scan() {
			return areas, s.Err()
		}
		line := s.Bytes()
		if flags, ok := bytes.CutPrefix(line, []byte("VmFlags:")); ok {
			if bytes.Contains(append(flags, ' '), []byte(" wf ")) && a.end > a.start && a.end-a.start <= maxWiped {
				areas = append(areas, a)
			}
			a = area{}
			continue
		}
		// Other lines have a colon behind their first word.
		from, to, ok := strings.Cut(string(line[:max(bytes.IndexByte(line, ' '), 0)]), "-")
		if !ok {
			continue
		}
		start, err1 := strconv.ParseInt(from, 16, 64)
		end, err2 := strconv.ParseInt(to, 16, 64)
		if err1 == nil && err2 == nil {
			a = area{start, end}
		}
	}
}
