package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// watcher sees to the pages of a browser by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol): one whose process has crashed is loaded again.
// The protocol goes through two pipes that nobody else has, one JSON object after the other, with a zero byte behind each.
type watcher struct {
	to    io.Writer
	last  int                  // the number of the latest request
	waits map[string]bool      // the pages that are to be loaded again, by their targets
	fell  map[string]time.Time // when pages crashed
	crash bool                 // does what crashPage and crashBrowser ask for
	asked map[string]bool      // the pages that have asked so: each has it once
}

func newWatcher(to io.Writer, crash bool) *watcher {
	return &watcher{to: to, crash: crash, waits: map[string]bool{}, fell: map[string]time.Time{}, asked: map[string]bool{}}
}

// Fragments of a page's address by which it has its process, or the whole browser, crash, where crashWord stands on the kernel's command line: for tests.
const (
	crashWord    = "vmm.kiosk.crash"
	crashPage    = "#crash-page"
	crashBrowser = "#crash-browser"
)

// reloadPause is how long a page that was loaded again has to last for that to be done at once the next time, too; for one that does not, it is waited for as long.
const reloadPause = 10 * time.Second

// watch has a browser that is about to be started open the pipes, and returns what is to run beside it. done has to be called when the browser has ended, or was not started.
func watch(cmd *exec.Cmd, crash bool) (serve func(), done func(), err error) {
	theirs, to, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	from, answers, err := os.Pipe()
	if err != nil {
		theirs.Close()
		to.Close()
		return nil, nil, err
	}
	cmd.ExtraFiles = []*os.File{theirs, answers} // 3 and 4, as the browser wants them
	last := len(cmd.Args) - 1
	cmd.Args = append(cmd.Args[:last:last], "--remote-debugging-pipe", cmd.Args[last])
	w := newWatcher(to, crash)
	serve = func() {
		theirs.Close()
		answers.Close()
		if err := w.serve(from); err != nil && err != io.EOF {
			say("the browser's pages are no longer watched: %v", err)
		}
	}
	return serve, func() { // closing twice does no harm
		for _, f := range []*os.File{theirs, to, from, answers} {
			f.Close()
		}
	}, nil
}

// message is what is looked at of an answer or an event.
type message struct {
	Method string
	Params struct {
		TargetID   string
		SessionID  string
		TargetInfo struct{ TargetID, Type, URL string }
	}
}

// maxMessage is how long an event may be, in bytes: they hold titles and addresses.
const maxMessage = 16 << 20

func (w *watcher) serve(from io.Reader) error {
	if err := w.send("", "Target.setDiscoverTargets", map[string]any{"discover": true}); err != nil {
		return err
	}
	s := bufio.NewScanner(from)
	s.Buffer(nil, maxMessage)
	s.Split(untilZero)
	for s.Scan() {
		var m message
		if err := json.Unmarshal(s.Bytes(), &m); err != nil {
			return err
		}
		if err := w.see(&m); err != nil {
			return err
		}
	}
	return s.Err()
}

func untilZero(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}

func (w *watcher) see(m *message) error {
	switch m.Method {
	case "Target.targetCrashed":
		return w.crashed(m.Params.TargetID)
	case "Target.attachedToTarget":
		id := m.Params.TargetInfo.TargetID
		if !w.waits[id] {
			return w.send(m.Params.SessionID, "Page.crash", nil)
		}
		delete(w.waits, id)
		if err := w.send(m.Params.SessionID, "Page.reload", nil); err != nil {
			return err
		}
		return w.send("", "Target.detachFromTarget", map[string]any{"sessionId": m.Params.SessionID})
	case "Target.targetInfoChanged":
		switch t := m.Params.TargetInfo; {
		case !w.crash || t.Type != "page":
		case strings.HasSuffix(t.URL, crashBrowser):
			return w.send("", "Browser.crash", nil)
		case strings.HasSuffix(t.URL, crashPage) && !w.asked[t.TargetID]:
			w.asked[t.TargetID] = true
			return w.attach(t.TargetID)
		}
	}
	return nil
}

// crashed has a page loaded again.
func (w *watcher) crashed(id string) error {
	say("a page has crashed, and is loaded again")
	if time.Since(w.fell[id]) < reloadPause {
		time.Sleep(reloadPause)
	}
	w.fell[id] = time.Now()
	w.waits[id] = true
	return w.attach(id)
}

func (w *watcher) attach(id string) error {
	return w.send("", "Target.attachToTarget", map[string]any{"targetId": id, "flatten": true})
}

// send sends a request to the browser or, with a session, to a page.
func (w *watcher) send(session, method string, params map[string]any) error {
	w.last++
	b, err := json.Marshal(struct {
		ID      int            `json:"id"`
		Method  string         `json:"method"`
		Params  map[string]any `json:"params,omitempty"`
		Session string         `json:"sessionId,omitempty"`
	}{w.last, method, params, session})
	if err != nil {
		return err
	}
	if _, err := w.to.Write(append(b, 0)); err != nil {
		return fmt.Errorf("asking the browser: %w", err)
	}
	return nil
}
