package control

import "context"

// Press presses keys together ("ctrl-alt-delete").
func (c Client) Press(ctx context.Context, chord string) error {
	return c.call(ctx, "POST", "/v1/keys", Keys{Chord: chord}, &nothing{})
}

// Type types a text on the guest's keyboard, in as many requests as it takes. ctx bounds it; there is no other limit on a long text.
func (c Client) Type(ctx context.Context, text string) error {
	typed := []rune(text)
	for len(typed) > 0 {
		n := min(len(typed), maxTyped/2) // well within the time of a request
		if err := c.call(ctx, "POST", "/v1/keys", Keys{Text: string(typed[:n])}, &nothing{}); err != nil {
			return err
		}
		typed = typed[n:]
	}
	return nil
}

// Point moves the pointer, clicks, and turns the wheel.
func (c Client) Point(ctx context.Context, p Pointer) error {
	return c.call(ctx, "POST", "/v1/pointer", p, &nothing{})
}

// Stop presses the power button, or with hard takes the power away.
func (c Client) Stop(ctx context.Context, hard bool) (s Status, err error) {
	err = c.call(ctx, "POST", "/v1/stop", Stop{hard}, &s)
	return s, err
}

// Reset starts the guest anew.
func (c Client) Reset(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, "POST", "/v1/reset", nil, &s)
	return s, err
}

// SetPaused stops the guest, or lets it go on.
func (c Client) SetPaused(ctx context.Context, paused bool) (s Status, err error) {
	path := "/v1/resume"
	if paused {
		path = "/v1/pause"
	}
	err = c.call(ctx, "POST", path, nil, &s)
	return s, err
}

// SetLink plugs the cable of a network card (ethernet0) in, or pulls it out.
func (c Client) SetLink(ctx context.Context, nic string, up bool) (s Status, err error) {
	err = c.call(ctx, "POST", "/v1/link", Link{nic, &up}, &s)
	return s, err
}
