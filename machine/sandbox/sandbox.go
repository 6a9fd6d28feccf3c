package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Config says what a process still needs.
type Config struct {
	// Network lets the process make sockets to talk IPv4 and IPv6, as the user network does for its guest.
	Network bool
	// Tap lets it change the offloads of TAP devices that it holds.
	Tap bool
	// Priorities lets it change the priority of its threads.
	Priorities bool
	// Listening lets it accept and serve connections to sockets that it holds. Network includes that.
	Listening bool
	// Child lets it end a process that it started before, and wait for that.
	Child bool
	// Files can be opened again, for reading.
	Files []*File
	// Log takes the name of each refused system call. Whoever provokes refusals can flood it, unless it is limited. nil is silent.
	Log *slog.Logger
}

// Layer is one of the means by which a process is confined.
type Layer struct {
	Name string `json:"name"`
	// InForce is false where this kernel or build has not got the layer.
	InForce bool `json:"inForce"`
	// Detail is how much of the layer there is, or why there is none.
	Detail string `json:"detail"`
}

var entered struct {
	sync.Mutex
	done bool
}

// Enter confines the calling process for good, and says how. Layers that this kernel has not got are left out; an error means that one that
// it has did not come into force, and that the process must not go on. It can be called once.
func Enter(c Config) ([]Layer, error) {
	entered.Lock()
	defer entered.Unlock()
	if entered.done {
		return nil, errors.New("sandbox: the process is in one already")
	}
	entered.done = true
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if withCgo {
		return Available(), nil
	}
	if err := pin(c.Files); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	_, _ = time.Now().Zone() // reads the host's time zone, for the first log line that bears the time
	var layers []Layer
	landlocked := false
	for _, step := range []struct {
		name string
		do   func() (string, error)
	}{
		{"resource limits", limitResources},
		{"no new privileges", refusePrivileges},
		{"capabilities", dropCapabilities},
		{"Landlock", func() (detail string, err error) {
			detail, err = restrictPaths(&c)
			landlocked = err == nil
			return detail, err
		}},
		{"seccomp", func() (string, error) { return filterCalls(&c, landlocked) }},
	} {
		detail, err := step.do()
		switch missing := (*missingError)(nil); {
		case errors.As(err, &missing):
			layers = append(layers, Layer{Name: step.name, Detail: missing.why})
		case err != nil:
			return nil, fmt.Errorf("sandbox: %s: %w", step.name, err)
		default:
			layers = append(layers, Layer{Name: step.name, InForce: true, Detail: detail})
		}
	}
	confine(c.Files, landlocked)
	return layers, nil
}

// missingError says that there is no such layer here.
type missingError struct{ why string }

func (e *missingError) Error() string { return e.why }

// Available says which of the layers that not every kernel has are to be had here, and changes nothing.
func Available() []Layer {
	l, s := Layer{Name: "Landlock"}, Layer{Name: "seccomp"}
	if withCgo {
		l.Detail = "not in a build with cgo"
		s.Detail = l.Detail
		return []Layer{l, s}
	}
	if abi, err := landlockABI(); err != nil {
		l.Detail = err.Error()
	} else {
		l.InForce, l.Detail = true, landlockDetail(abi)
	}
	if err := trapAvailable(); err != nil {
		s.Detail = err.Error()
	} else {
		s.InForce, s.Detail = true, "filters for all threads at once"
	}
	return []Layer{l, s}
}
