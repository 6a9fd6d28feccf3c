package nested

import (
	"fmt"
	"net"
)

// Free errs where the forward's port of the host cannot be had, as net.Listen does. QEMU does not say what is wrong with one.
func (f Forward) Free() error {
	if f.Host == 0 || f.Guest == 0 {
		return fmt.Errorf("%w: a port that leads into the nested host needs a number; 0, for any that is free, is none", ErrConfig)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", f.Host))
	if err != nil {
		return err
	}
	return l.Close()
}

// portsFree sees that all ports that are to lead into the guest can be had.
func (c Config) portsFree() error {
	for _, f := range c.Publish {
		if err := f.Free(); err != nil {
			return fmt.Errorf("a port of this host's loopback cannot lead into the nested host: %w", err)
		}
	}
	return nil
}
