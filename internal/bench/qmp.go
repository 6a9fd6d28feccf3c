package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"time"
)

// qmp is a connection to QEMU's monitor.
type qmp struct {
	conn net.Conn
	in   *bufio.Scanner
}

// dialQMP connects as soon as QEMU listens.
func dialQMP(path string, deadline time.Time) (*qmp, error) {
	conn, err := dialSoon("unix", path, deadline)
	if err != nil {
		return nil, err
	}
	q := &qmp{conn, bufio.NewScanner(conn)}
	_, err = q.do("qmp_capabilities", nil)
	return q, err
}

func (q *qmp) close() { q.conn.Close() }

// answer is a line of the monitor's.
type answer struct {
	Event  string
	Return json.RawMessage
	Error  *struct{ Desc string }
}

func (q *qmp) next() (a answer, err error) {
	if !q.in.Scan() {
		return a, fmt.Errorf("QEMU's monitor: no answer, %v", q.in.Err())
	}
	err = json.Unmarshal(q.in.Bytes(), &a)
	return a, err
}

// do has a command carried out and returns what it returns.
func (q *qmp) do(command string, arguments any) (json.RawMessage, error) {
	m := map[string]any{"execute": command}
	if arguments != nil {
		m["arguments"] = arguments
	}
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if _, err := q.conn.Write(append(b, '\n')); err != nil {
		return nil, err
	}
	for {
		a, err := q.next()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", command, err)
		case a.Error != nil:
			return nil, fmt.Errorf("QEMU: %s: %s", command, a.Error.Desc)
		case a.Return != nil:
			return a.Return, nil
		}
	}
}

// ignoreShared leaves RAM that lies in a file out of a migration.
func (q *qmp) ignoreShared() error {
	_, err := q.do("migrate-set-capabilities", map[string]any{"capabilities": []any{map[string]any{"capability": "x-ignore-shared", "state": true}}})
	return err
}

// save writes the state of the guest's devices to a file; a guest that was running does so where it goes on.
func (q *qmp) save(file string) error {
	if err := q.ignoreShared(); err != nil {
		return err
	}
	if _, err := q.do("migrate", map[string]any{"uri": "exec:cat > " + file}); err != nil {
		return err
	}
	const pause = 10 * time.Millisecond
	for ; ; time.Sleep(pause) {
		b, err := q.do("query-migrate", nil)
		if err != nil {
			return err
		}
		var m struct{ Status string }
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		switch m.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("QEMU: the migration has %s", m.Status)
		}
	}
}

// load reads the state of devices from the file that QEMU inherited as descriptor fd, waits until the guest goes on, and returns how long that took.
func (q *qmp) load(fd int) (time.Duration, error) {
	if err := q.ignoreShared(); err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := q.do("migrate-incoming", map[string]any{"uri": fmt.Sprint("fd:", fd)}); err != nil {
		return 0, err
	}
	for {
		if a, err := q.next(); err != nil || a.Event == "RESUME" {
			return time.Since(start), err
		}
	}
}
