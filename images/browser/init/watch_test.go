package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// TestWatcher tells a watcher what a browser tells, and looks at what it asks for.
func TestWatcher(t *testing.T) {
	const (
		crashed  = `{"method":"Target.targetCrashed","params":{"targetId":"A","status":"crashed","errorCode":5}}`
		attached = `{"method":"Target.attachedToTarget","params":{"sessionId":"S","targetInfo":{"targetId":"A","type":"page"}}}`
		asks     = `{"method":"Target.targetInfoChanged","params":{"targetInfo":{"targetId":"A","type":"page","title":"x","url":"https://x/#crash-page"}}}`
		asksAll  = `{"method":"Target.targetInfoChanged","params":{"targetInfo":{"targetId":"A","type":"page","title":"x","url":"https://x/#crash-browser"}}}`
	)
	for _, test := range []struct {
		name  string
		crash bool
		said  []string
		want  string
	}{
		{"a crash", false, []string{`{"id":1,"result":{}}`, crashed, attached}, "Target.attachToTarget A; Page.reload S; Target.detachFromTarget S"},
		{"a page that only asks", false, []string{asks, asksAll}, ""},
		{"a test", true, []string{asks, asks, attached, crashed, attached, asksAll},
			"Target.attachToTarget A; Page.crash S; Target.attachToTarget A; Page.reload S; Target.detachFromTarget S; Browser.crash"},
	} {
		var asked bytes.Buffer
		err := newWatcher(&asked, test.crash).serve(strings.NewReader(strings.Join(test.said, "\x00") + "\x00"))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var got []string
		for _, b := range bytes.Split(bytes.TrimSuffix(asked.Bytes(), []byte{0}), []byte{0}) {
			var r struct {
				ID        int
				Method    string
				SessionID string
				Params    struct{ TargetID, SessionID string }
			}
			if err := json.Unmarshal(b, &r); err != nil || r.ID != len(got)+1 {
				t.Errorf("%s: %q: %v", test.name, b, err)
			}
			got = append(got, strings.TrimSpace(fmt.Sprint(r.Method, " ", r.Params.TargetID, r.SessionID+r.Params.SessionID)))
		}
		if want := slices.DeleteFunc(append([]string{"Target.setDiscoverTargets"}, strings.Split(test.want, "; ")...), func(s string) bool { return s == "" }); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
	}
	if err := newWatcher(io.Discard, false).serve(strings.NewReader("{}\x00{")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := newWatcher(io.Discard, false).serve(strings.NewReader("no JSON\x00")); err == nil {
		t.Error("what is no JSON is taken")
	}
}
