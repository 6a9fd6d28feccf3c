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
	"sync"

	"golang.org/x/sys/unix"
)

// generators are those of random numbers that running programs keep. Cryptographic libraries have them in their own memory, where the kernel's new seed does not reach them. So that
// a child does not go on with its parent's numbers they watch a page that the kernel wipes in children (MADV_WIPEONFORK, VmFlags wf in proc_pid_smaps(5)). A machine from a
// snapshot has as many twins as a child has parents, and so the pages are wiped here.
//
// To find them takes longer than all else that is made fresh, so that they are looked for before the machine is ready to be saved; a restore wipes those that are known at once, and
// looks for others when the machine has done what its user waits for.
type generators struct {
	mu    sync.Mutex
	known []generator
}

// generator is a page that is watched.
type generator struct {
	mem   *os.File // the process's memory, which is no other process's when that has ended
	start int64
	held  []byte // what was there: memory that is used for something else meanwhile is left alone
}

// find looks for the generators of processes, whose folders in /proc are given.
func (g *generators) find(processes []string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget()
	var first error
	for _, p := range processes {
		if err := g.findIn(p); err != nil && !errors.Is(err, unix.ESRCH) && !gone(p) && first == nil {
			first = fmt.Errorf("random numbers of process %s: %w", filepath.Base(p), err)
		}
	}
	return first
}

// forget gives up what is known. g.mu is held.
func (g *generators) forget() {
	for i, k := range g.known {
		if i == 0 || g.known[i-1].mem != k.mem {
			k.mem.Close()
		}
	}
	g.known = nil
}

func (g *generators) findIn(process string) error {
	smaps, err := os.Open(process + "/smaps")
	if err != nil {
		return err
	}
	defer smaps.Close()
	areas, err := wipedOnFork(smaps)
	if err != nil || len(areas) == 0 {
		return err
	}
	mem, err := os.OpenFile(process+"/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	found := 0
	for _, a := range areas {
		held := make([]byte, a.end-a.start)
		if _, err = mem.ReadAt(held, a.start); err != nil {
			break
		}
		g.known = append(g.known, generator{mem, a.start, held})
		found++
	}
	if found == 0 {
		mem.Close()
	}
	return err
}

// wipe has the programs whose generators are known seed them anew, and returns how many were told. A program that has ended is none.
func (g *generators) wipe() (told int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range g.known {
		now := make([]byte, len(k.held))
		if _, err := k.mem.ReadAt(now, k.start); err != nil || !bytes.Equal(now, k.held) {
			continue
		}
		if _, err := k.mem.WriteAt(make([]byte, len(now)), k.start); err == nil {
			told++
		}
	}
	return told
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
