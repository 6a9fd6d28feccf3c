package config

// SerialKind says what stands behind a serial port.
type SerialKind string

// The kinds of Serial.
const (
	SerialNull    SerialKind = "null"    // output is dropped
	SerialConsole SerialKind = "console" // the terminal that vmm was started from
	SerialFile    SerialKind = "file"    // output is appended to Path
	SerialPipe    SerialKind = "pipe"    // Unix socket at Path: VMware's named pipe
	SerialNetwork SerialKind = "network" // TCP at Address
	SerialDevice  SerialKind = "device"  // a serial device of the host at Path
)

// Serial is a 16550A port. Index 0..3 are COM1..COM4 (3f8/irq 4, 2f8/irq 3, 3e8/irq 4, 2e8/irq 3).
type Serial struct {
	Index     int
	Kind      SerialKind
	Path      string // absolute
	Address   string // host:port
	Server    bool   // pipe and network: listen; otherwise connect
	YieldPoll bool   // the guest polls: give up the CPU while it does (yieldOnMsrRead)
	Connected bool
}
