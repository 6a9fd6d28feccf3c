package vdagent

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sharevm/vmm/display/frontend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guest is an agent in a guest, and somebody on the host who copies and pastes.
type guest struct {
	t     *testing.T
	agent *Agent
	host  *frontend.Holder
	got   chan string // by the host
	said  chan said   // to the guest
	opens chan bool   // of the host's end
	caps  uint32
}

// said is a message.
type said struct {
	kind uint32
	data string
}

func newGuest(t *testing.T, caps uint32, in, out bool) *guest {
	t.Helper()
	clip := &frontend.Clipboard{}
	g := &guest{t: t, got: make(chan string, 100), said: make(chan said, 100), opens: make(chan bool, 100), caps: caps}
	g.host = clip.Join(func(text string) { g.got <- text })
	g.agent = New(Config{Clipboard: clip, In: in, Out: out})
	g.agent.Attach(func(open bool) { g.opens <- open })
	var wg sync.WaitGroup
	wg.Go(func() {
		var r receiver
		buf := make([]byte, 1500)
		for {
			n, err := g.agent.Read(buf)
			if err == io.EOF {
				return
			}
			for p := buf[:n]; len(p) > 0; {
				rest, kind, data, complete, err := r.take(p)
				if err != nil {
					t.Error(err)
				}
				if complete {
					g.said <- said{kind, string(data)}
				}
				p = rest
			}
		}
	})
	t.Cleanup(func() {
		g.agent.Close()
		wg.Wait()
	})
	return g
}

// begin opens the port and says what the guest can.
func (g *guest) begin() {
	g.t.Helper()
	g.agent.Opened(true)
	if m := g.next(); m.kind != typeAnnounce || m.data[:4] != "\x01\x00\x00\x00" {
		g.t.Fatalf("the first message is %d %q", m.kind, m.data)
	}
	g.say(message(typeAnnounce, "", 1, g.caps))
	if m := g.next(); m.kind != typeAnnounce || m.data[:4] != "\x00\x00\x00\x00" {
		g.t.Fatalf("the answer is %d %q", m.kind, m.data)
	}
}

func (g *guest) say(b []byte) {
	g.t.Helper()
	if n, err := g.agent.Write(b); n != len(b) || err != nil {
		g.t.Fatalf("%d, %v", n, err)
	}
}

const patience = 10 * time.Second

func (g *guest) next() said {
	g.t.Helper()
	select {
	case m := <-g.said:
		return m
	case <-time.After(patience):
		g.t.Fatal("the guest is told nothing")
	}
	return said{}
}

func (g *guest) expect(kind uint32, data string) {
	g.t.Helper()
	if m := g.next(); m.kind != kind || m.data != data {
		g.t.Fatalf("the guest is told %d %q, want %d %q", m.kind, m.data[:min(len(m.data), 80)], kind, data[:min(len(data), 80)])
	}
}

func (g *guest) hostHas(text string) {
	g.t.Helper()
	select {
	case got := <-g.got:
		if got != text {
			g.t.Fatalf("the host has %q, want %q", got[:min(len(got), 80)], text[:min(len(text), 80)])
		}
	case <-time.After(patience):
		g.t.Fatal("the host gets no text")
	}
}

// nothing fails if the guest is told anything but what it asks for now: a refusal.
func (g *guest) nothing() {
	g.t.Helper()
	g.say(message(typeRequest, "", words(g.caps, 2, formText)...))
	g.expect(typeClipboard, bytesOf(words(g.caps, 2, formNone)...))
	select {
	case text := <-g.got:
		g.t.Errorf("the host has %q", text)
	default:
	}
}

// words puts a selection in front, where the guest knows them.
func words(caps, selection uint32, w ...uint32) []uint32 {
	if caps&capSelection == 0 {
		return w
	}
	return append([]uint32{selection}, w...)
}

func bytesOf(w ...uint32) string {
	var b []byte
	for _, v := range w {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return string(b)
}

const modern = capByDemand | capSelection

// TestClipboard copies and pastes, each way, short texts and the longest.
func TestClipboard(t *testing.T) {
	for name, caps := range map[string]uint32{"with selections": modern, "without": capByDemand} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, caps, true, true)
			g.host.Set("early") // the guest has not begun yet
			g.begin()
			g.expect(typeGrab, bytesOf(words(caps, 0, formText)...))
			long := strings.Repeat("grüße\n", frontend.MaxClipboard/8-1)
			for _, text := range []string{"early", "one", long} {
				if text != "early" {
					g.host.Set(text)
					g.expect(typeGrab, bytesOf(words(caps, 0, formText)...))
				}
				g.say(message(typeRequest, "", words(caps, 0, formText)...))
				g.expect(typeClipboard, bytesOf(words(caps, 0, formText)...)+text)
			}
			for _, text := range []string{"from the guest", long + "!"} {
				g.say(message(typeGrab, "", words(caps, 0, 2, formText)...)) // a picture, and text
				g.expect(typeRequest, bytesOf(words(caps, 0, formText)...))
				all := message(typeClipboard, text, words(caps, 0, formText)...)
				for piece := range slices.Chunk(all, 777) {
					g.say(piece)
				}
				g.hostHas(text)
			}
			// The host's text is no more: the guest has its own.
			g.say(message(typeRequest, "", words(caps, 0, formText)...))
			g.expect(typeClipboard, bytesOf(words(caps, 0, formNone)...))
			g.say(message(typeRelease, "", words(caps, 0)...))
			g.host.Set("again")
			g.expect(typeGrab, bytesOf(words(caps, 0, formText)...))
		})
	}
}

// TestLines ends lines as the guest does.
func TestLines(t *testing.T) {
	g := newGuest(t, modern|capLinesCRLF|capMaxClipboard, true, true)
	g.begin()
	g.expect(typeMaxClipboard, bytesOf(frontend.MaxClipboard))
	g.host.Set("a\nb\r\nc")
	g.expect(typeGrab, bytesOf(0, formText))
	g.say(message(typeRequest, "", 0, formText))
	g.expect(typeClipboard, bytesOf(0, formText)+"a\r\nb\r\nc")
	g.say(message(typeGrab, "", 0, formText))
	g.expect(typeRequest, bytesOf(0, formText))
	g.say(message(typeClipboard, "x\r\ny\x00", 0, formText))
	g.hostHas("x\ny")
}

// TestForbidden shares one way only, or neither, whatever the guest says.
func TestForbidden(t *testing.T) {
	g := newGuest(t, modern, false, true)
	g.host.Set("secret")
	g.begin()
	g.say(message(typeRequest, "", 0, formText))
	g.expect(typeClipboard, bytesOf(0, formNone))
	g.host.Set("secret too")
	g.nothing()
	g.say(message(typeGrab, "", 0, formText))
	g.expect(typeRequest, bytesOf(0, formText))
	g.say(message(typeClipboard, "out", 0, formText))
	g.hostHas("out")

	g = newGuest(t, modern, true, false)
	g.begin()
	g.say(message(typeGrab, "", 0, formText))
	g.say(message(typeClipboard, "out", 0, formText))
	g.nothing()
	g.host.Set("in")
	g.expect(typeGrab, bytesOf(0, formText))
}

// TestOnlyWhatWasAskedFor passes over texts that nobody asked for, other selections, pictures, and what is no text.
func TestOnlyWhatWasAskedFor(t *testing.T) {
	g := newGuest(t, modern, true, true)
	g.begin()
	g.say(message(typeClipboard, "unasked", 0, formText))
	g.say(message(typeGrab, "", 1, formText)) // PRIMARY
	g.say(message(typeGrab, "", 0, 2))        // a picture
	g.say(message(typeGrab, "", 9, formText))
	g.say(message(99, "what?", 0))
	g.nothing()
	for _, bad := range [][]byte{
		message(typeClipboard, "\xff\xfe", 0, formText),
		message(typeClipboard, "picture", 0, 2),
		message(typeClipboard, "", 0, formText),
		message(typeClipboard, strings.Repeat("x", frontend.MaxClipboard+1), 0, formText),
		message(typeClipboard, strings.Repeat("x", maxMessage+1), 0, formText),
	} {
		g.say(message(typeGrab, "", 0, formText))
		g.expect(typeRequest, bytesOf(0, formText))
		g.say(bad)
		g.nothing()
	}
	if g.agent.in.rest(); cap(g.agent.in.data) > maxChunk {
		t.Errorf("%d bytes are kept", cap(g.agent.in.data))
	}
}

// TestGreedyGuest says things again and again and never reads.
func TestGreedyGuest(t *testing.T) {
	clip := &frontend.Clipboard{}
	a := New(Config{Clipboard: clip, In: true, Out: true})
	defer a.Close()
	a.Attach(func(bool) {})
	a.Opened(true)
	a.Write(message(typeAnnounce, "", 1, modern))
	for range 10000 {
		a.Write(message(typeGrab, "", 0, formText))
		a.Write(message(typeRequest, "", 0, formText))
		a.Write(message(typeRequest, "", 2, formText))
	}
	total, p := 0, make([]byte, 1<<16)
	for range 6 { // two announcements, a request, and two refusals at most
		a.mu.Lock()
		idle := a.due == 0 && a.out == nil
		a.mu.Unlock()
		if idle {
			break
		}
		n, _ := a.Read(p)
		total += n
	}
	if total > 400 {
		t.Errorf("%d bytes waited for the guest", total)
	}
}

// TestHangUp says nonsense: the port is closed until the guest has closed its end, and then all is as in the beginning.
func TestHangUp(t *testing.T) {
	for name, nonsense := range map[string][]byte{
		"port":     bytes.Repeat([]byte{9}, 100),
		"protocol": append(bytesWords(clientPort, messageHeader), bytes.Repeat([]byte{7}, messageHeader)...),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, modern, true, true)
			g.begin()
			g.say(message(typeGrab, "", 0, formText)[:30]) // the beginning of a message, which is forgotten
			g.say(nonsense)
			if open := <-g.opens; open {
				t.Error("it is opened")
			}
			g.say(message(typeAnnounce, "", 1, modern)) // nobody listens
			g.agent.Opened(false)
			if open := <-g.opens; !open {
				t.Error("it stays closed")
			}
			for len(g.said) > 0 {
				<-g.said
			}
			g.begin()
			g.host.Set("x")
			g.expect(typeGrab, bytesOf(0, formText))
		})
	}
}

func bytesWords(w ...uint32) []byte { return []byte(bytesOf(w...)) }

// TestRestored goes on from a snapshot: a talk that was going on begins anew.
func TestRestored(t *testing.T) {
	g := newGuest(t, modern, true, true)
	g.agent.Restored() // nobody was there
	g.agent.Opened(true)
	g.next()
	g.agent.Restored()
	if open := <-g.opens; open {
		t.Error("the port stays open")
	}
	g.agent.Opened(false)
	if open := <-g.opens; !open {
		t.Error("the port stays closed")
	}
	g.begin()
}

// TestRestoredOpen goes on from a snapshot, in a new process, with a guest that has the port open: it hears of the port's end, and of nothing else before.
func TestRestoredOpen(t *testing.T) {
	opens := make(chan bool, 10)
	a := New(Config{Clipboard: &frontend.Clipboard{}, In: true, Out: true, Restored: true})
	a.Attach(func(open bool) { opens <- open })
	a.Opened(true)
	if a.due != 0 {
		t.Error("the guest is told something")
	}
	a.Restored()
	if open := <-opens; open {
		t.Error("the port stays open")
	}
	a.Opened(false)
	if open := <-opens; !open {
		t.Error("the port stays closed")
	}
	a.Opened(true)
	if a.due == 0 {
		t.Error("the guest is told nothing when it begins anew")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

func TestWish(t *testing.T) {
	g := newGuest(t, capMonitorsConfig, true, true)
	g.agent.Wish(image.Pt(800, 600))
	g.begin()
	g.expect(typeMonitorsConfig, bytesOf(1, 0, 600, 800, 32, 0, 0))
	g.agent.Wish(image.Pt(1024, 768))
	g.expect(typeMonitorsConfig, bytesOf(1, 0, 768, 1024, 32, 0, 0))
}

// FuzzGuest has the guest say anything, between the host's copying and the port's opening and closing.
func FuzzGuest(f *testing.F) {
	f.Add(slices.Concat(message(typeAnnounce, "", 1, modern), message(typeGrab, "", 0, formText), message(typeClipboard, "hi", 0, formText)), uint8(1))
	f.Add(slices.Concat(message(typeAnnounce, "", 0, modern|capLinesCRLF), message(typeRequest, "", 0, formText), message(typeRequest, "", 1, formText)), uint8(7))
	f.Add(bytesWords(clientPort, 0xffffffff, protocol, typeClipboard, 0, 0, 0xffffffff, 0), uint8(3))
	f.Fuzz(func(t *testing.T, said []byte, seed uint8) {
		clip := &frontend.Clipboard{}
		host := clip.Join(func(text string) {
			if len(text) > frontend.MaxClipboard {
				t.Errorf("a text of %d bytes", len(text))
			}
		})
		a := New(Config{Clipboard: clip, In: seed&1 != 0, Out: true})
		a.Attach(func(bool) {})
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 100)
			for {
				if _, err := a.Read(p); err != nil {
					return
				}
			}
		}()
		a.Opened(true)
		for i, piece := range slices.Collect(slices.Chunk(said, 1+int(seed))) {
			if n, err := a.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			if i%3 == 2 {
				host.Set(string(piece))
			}
			if seed&2 != 0 && i%16 == 15 {
				a.Opened(false)
				a.Opened(true)
			}
		}
		if c := cap(a.in.data); c > 2*maxMessage {
			t.Errorf("%d bytes are kept", c)
		}
		a.Close()
		<-done
	})
}
