package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/sharevm/vmm/config"
)

// Client speaks to a running machine.
type Client struct {
	ID  string
	dir string
	// patience is for a whole exchange, but for those that take long.
	patience time.Duration
}

// List returns a client for each machine that runs, in the order of their ids.
func List(root string) ([]Client, error) {
	var all []Client
	err := withRoot(root, func() error {
		ids, err := sweep(root)
		slices.Sort(ids)
		for _, id := range ids {
			all = append(all, Client{id, filepath.Join(root, id), patience})
		}
		return err
	})
	return all, err
}

// ErrNoMachine is wrapped when there is no such machine.
var ErrNoMachine = errors.New("no such machine is running")

// Find returns a client for the machine of that id.
func Find(root, id string) (Client, error) {
	all, err := List(root)
	if err != nil {
		return Client{}, err
	}
	for _, c := range all {
		if c.ID == id {
			return c, nil
		}
	}
	return Client{}, fmt.Errorf("%q: %w (vmm ps lists them)", id, ErrNoMachine)
}

// Status asks what the machine is doing.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, "GET", "/v1/machine", nil, &s)
	return s, err
}

// Limits asks for the limits in force.
func (c Client) Limits(ctx context.Context) (l config.Limits, err error) {
	err = c.call(ctx, "GET", "/v1/limits", nil, &l)
	return l, err
}

// ChangeLimits puts the limits that change names in force, by the names and values of config.Limits.Set, beside those that are. It returns
// all that are in force then.
func (c Client) ChangeLimits(ctx context.Context, change map[string]string) (l config.Limits, err error) {
	err = c.call(ctx, "PATCH", "/v1/limits", change, &l)
	return l, err
}

// Screenshot asks for a picture of a screen, as a PNG.
func (c Client) Screenshot(ctx context.Context, screen int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, picturePatience)
	defer cancel()
	return c.ask(ctx, request{method: "GET", path: "/v1/screenshot", query: url.Values{"screen": {strconv.Itoa(screen)}}})
}

// SnapshotFiles asks which files SaveSnapshot wants.
func (c Client) SnapshotFiles(ctx context.Context) ([]string, error) {
	var list snapshotList
	err := c.call(ctx, "GET", "/v1/snapshot", nil, &list)
	return list.Files, err
}

// SaveSnapshot has the machine save itself to open, empty files. It goes on afterwards, or off powers it off at that very point.
func (c Client) SaveSnapshot(ctx context.Context, files map[string]*os.File, off bool) error {
	return c.saveSnapshot(ctx, files, snapshotList{PowerOff: off})
}

// SaveFrozen is SaveSnapshot with children, which take the places of all disks that the machine writes to for good before it goes on. Their files are among files.
func (c Client) SaveFrozen(ctx context.Context, files map[string]*os.File, children []Child) error {
	return c.saveSnapshot(ctx, files, snapshotList{Children: children})
}

func (c Client) saveSnapshot(ctx context.Context, files map[string]*os.File, list snapshotList) error {
	ctx, cancel := context.WithTimeout(ctx, longPatience)
	defer cancel()
	r := request{method: "POST", path: "/v1/snapshot"}
	for name, f := range files {
		list.Files, r.files = append(list.Files, name), append(r.files, f)
	}
	var err error
	if r.body, err = json.Marshal(list); err != nil {
		return err
	}
	_, err = c.ask(ctx, r)
	return err
}

// call has one exchange with the machine. ctx bounds it, and so does a time after which nobody waits.
func (c Client) call(ctx context.Context, method, path string, send, receive any) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var body []byte
	if send != nil {
		var err error
		if body, err = json.Marshal(send); err != nil {
			return err
		}
	}
	answer, err := c.ask(ctx, request{method: method, path: path, body: body})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, receive); err != nil {
		return fmt.Errorf("machine %s: its answer makes no sense: %w", c.ID, err)
	}
	return nil
}

// ask returns the body of the answer to a request that the machine did not refuse.
func (c Client) ask(ctx context.Context, r request) ([]byte, error) {
	code, answer, err := c.exchange(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("machine %s does not answer: %w", c.ID, err)
	}
	if code != statusOK {
		return nil, fmt.Errorf("machine %s: %w", c.ID, refusal(code, answer))
	}
	return answer, nil
}

// refusal is what a machine said in place of an answer.
func refusal(code int, body []byte) error {
	var said struct{ Error string }
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return fmt.Errorf("status %d", code)
	}
	return errors.New(said.Error)
}

func (c Client) dial(ctx context.Context) (conn net.Conn, err error) {
	err = atAddress(c.dir, func(a *net.UnixAddr) (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, "unix", a.Name)
		return err
	})
	return conn, err
}

func (c Client) exchange(ctx context.Context, r request) (code int, body []byte, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err := writeRequest(conn, r); err != nil {
		return 0, nil, err
	}
	return readAnswer(conn)
}
