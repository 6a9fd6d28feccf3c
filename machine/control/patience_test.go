package control

import (
	"io"
	"sync/atomic"
	"testing"
	"time"
)

// slowMachine makes its pictures in longer than a usual exchange may take.
type slowMachine struct {
	fakeMachine
	takes time.Duration
	asked atomic.Int32
}

func (m *slowMachine) Screenshot(screen int, w io.Writer) error {
	m.asked.Add(1)
	time.Sleep(m.takes)
	return m.fakeMachine.Screenshot(screen, w)
}

// TestPicturePatience asks for a picture of a machine that is slower than an exchange may usually be: it comes all the same, since both sides wait longer for one.
func TestPicturePatience(t *testing.T) {
	const hurry = 100 * time.Millisecond
	if picturePatience < 6*patience {
		t.Errorf("a picture may take %v, other exchanges %v", picturePatience, patience)
	}
	s, err := Open(t.TempDir(), "slow")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := &slowMachine{takes: 2 * hurry}
	s.Serve(m, nil)
	s.server.patience = hurry // no client has come yet
	c := Client{s.ID(), s.Folder(), hurry}
	// A host that has other things to do may take longer to hear the question.
	for tries := 1; ; tries++ {
		picture, err := c.Screenshot(t.Context(), 1)
		if err == nil {
			if string(picture) != `"PNG of 1"` {
				t.Errorf("the picture is %q", picture)
			}
			break
		}
		if m.asked.Load() > 0 || tries == 50 {
			t.Fatalf("no picture after %d tries: %v", tries, err)
		}
	}
}
