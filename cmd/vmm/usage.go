package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sharevm/vmm/machine/control"
)

// usage is what a machine used in a round: amounts, and rates a second.
type usage struct {
	ID           string  `json:"id"`
	Name         string  `json:"name"`
	State        string  `json:"state"`
	Error        string  `json:"error,omitempty"` // why there is no more than the id
	CPU          float64 `json:"cpu"`             // processors: 1 is one of them
	Resident     int64   `json:"resident"`        // bytes of the process, the guest's memory included; 0 where that cannot be seen
	Memory       int64   `json:"memory"`          // bytes that the guest has
	DiskRead     float64 `json:"diskRead"`        // bytes
	DiskWritten  float64 `json:"diskWritten"`
	DiskRequests float64 `json:"diskRequests"`
	NetIn        float64 `json:"netIn"` // bytes, to the guest
	NetOut       float64 `json:"netOut"`
	Exits        float64 `json:"exits"`
}

// sample is what a machine has used so far.
type sample struct {
	listed
	at       time.Time
	resident int64
}

// takeSamples asks all machines.
func takeSamples(ctx context.Context) ([]sample, error) {
	all, err := machines(ctx)
	if err != nil {
		return nil, err
	}
	samples := make([]sample, len(all))
	for i, m := range all {
		// Each tells its own age with what it has used until then; the time at which it answered would be off by how long it took.
		samples[i] = sample{listed: m, at: m.Started.Add(time.Duration(m.Uptime * float64(time.Second)))}
		if m.Error == "" {
			samples[i].resident = resident(m.PID)
		}
	}
	return samples, nil
}

// resident is how many bytes of memory a process has, 0 if that cannot be seen.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	words := strings.Fields(string(b))
	if len(words) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(words[1], 10, 64) // of RAM; the first is of address space (proc(5))
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// usages compares what machines had used with what they have, the busiest first.
func usages(before, after []sample) []usage {
	round := make([]usage, 0, len(after))
	for _, now := range after {
		u := usage{ID: now.ID, Name: now.Name, State: string(now.State), Error: now.Error, Resident: now.resident, Memory: now.Memory}
		i := slices.IndexFunc(before, func(s sample) bool { return s.ID == now.ID && s.PID == now.PID && s.Error == "" })
		if now.Error == "" && i >= 0 {
			u.rates(&before[i], &now)
		}
		round = append(round, u)
	}
	slices.SortStableFunc(round, func(a, b usage) int { return cmp.Compare(b.CPU, a.CPU) })
	return round
}

// rates fills in what happened a second between two samples.
func (u *usage) rates(before, now *sample) {
	seconds := now.at.Sub(before.at).Seconds()
	if seconds <= 0 {
		return
	}
	rate := func(was, is float64) float64 { return max(is-was, 0) / seconds } // a power cycle begins some counts anew
	u.CPU = rate(before.Status.CPU.Seconds, now.Status.CPU.Seconds)
	u.Exits = rate(float64(before.Exits), float64(now.Exits))
	was, is := totals(&before.Status), totals(&now.Status)
	u.DiskRead, u.DiskWritten = rate(was.read, is.read), rate(was.written, is.written)
	u.DiskRequests = rate(was.requests, is.requests)
	u.NetIn, u.NetOut = rate(was.in, is.in), rate(was.out, is.out)
}

// total is the work of all disks and network cards of a machine.
type total struct{ read, written, requests, in, out float64 }

func totals(s *control.Status) (t total) {
	for _, d := range s.Disks {
		t.read += float64(d.Reads.Bytes)
		t.written += float64(d.Writes.Bytes)
		t.requests += float64(d.Reads.Operations + d.Writes.Operations)
	}
	for _, n := range s.NICs {
		t.in += float64(n.ToGuest.Bytes)
		t.out += float64(n.FromGuest.Bytes)
	}
	return t
}
