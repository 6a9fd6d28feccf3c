package session

import (
	"testing"

	"github.com/sharevm/vmm/display/frontend"
	"github.com/sharevm/vmm/session/link"
	"github.com/sharevm/vmm/session/link/linktest"
)

// TestClipboard has what the user copies follow the focus, as far as each machine shares.
func TestClipboard(t *testing.T) {
	r := newRig(t, 3)
	user := make(chan string, 9)
	host := r.Frontend("test").Clipboard.Join(func(text string) { user <- text })
	r.Share(0, Clip{In: true, Out: true})
	r.Share(1, Clip{In: true, Out: true})
	r.Share(2, Clip{Out: true}) // takes nothing
	settled := func(g *guest) {
		t.Helper()
		g.server.SetState(link.Ready, "settled")
		linktest.Eventually(t, "what was sent before has arrived", func() bool { _, text := g.remote.State(); return text == "settled" })
		g.server.SetState(link.Ready, "")
		linktest.Eventually(t, "that too", func() bool { _, text := g.remote.State(); return text == "" })
	}
	expect := func(from chan string, want string) {
		t.Helper()
		if got := <-from; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	host.Set("host's")
	expect(r.guests[0].pasted, "host's")
	r.guests[0].clip.Set("first's")
	expect(user, "first's")
	r.guests[1].clip.Set("from behind")
	settled(r.guests[1])
	if len(user) != 0 {
		t.Error("the machine behind has set the clipboard")
	}
	if err := r.Turn(1); err != nil {
		t.Fatal(err)
	}
	expect(r.guests[1].pasted, "first's")
	host.Set("host's again")
	expect(r.guests[1].pasted, "host's again")
	if err := r.Turn(2); err != nil {
		t.Fatal(err)
	}
	host.Set("not for the third")
	r.guests[2].clip.Set("third's")
	expect(user, "third's")
	if len(r.guests[2].pasted) != 0 {
		t.Error("a machine that takes nothing was handed a text")
	}
	r.Share(2, Clip{})
	r.guests[2].clip.Set("no more")
	settled(r.guests[2])
	if len(user) != 0 {
		t.Error("a machine that shares nothing has set the clipboard")
	}
	if err := r.Turn(0); err != nil {
		t.Fatal(err)
	}
	expect(r.guests[0].pasted, "third's")
	if n := len(r.guests[0].pasted) + len(r.guests[1].pasted); n != 0 {
		t.Errorf("%d texts too many", n)
	}
}

// shared is a guest's clipboard.
func shared(g *guest) *frontend.Clipboard {
	c := &frontend.Clipboard{}
	g.pasted = make(chan string, 9)
	g.clip = c.Join(func(text string) { g.pasted <- text })
	return c
}
