package nvme

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sharevm/vmm/devices/pci"
	"github.com/sharevm/vmm/disk"
	"github.com/sharevm/vmm/internal/pace"
	"github.com/sharevm/vmm/internal/throttle"
	"github.com/sharevm/vmm/internal/worker"
	"github.com/sharevm/vmm/vmm/event"
	"github.com/sharevm/vmm/vmm/irq"
	"github.com/sharevm/vmm/vmm/memory"
)

// Identity is what VMware's NVMe controller says it is.
var Identity = pci.Identity{Vendor: 0x15ad, Device: 0x07f0, SubsystemVendor: 0x15ad, Subsystem: 0x07f0, Class: 0x010802}

const (
	// maxPairs bounds the I/O queue pairs, and maxNamespaces the namespaces.
	maxPairs      = 64
	maxNamespaces = 64
	// slotsPerLane is how many commands of one queue may be in flight. What lies beyond waits in the guest's ring.
	slotsPerLane     = 64
	defaultExecutors = 8
)

// Config says what a controller is made of.
type Config struct {
	Name   string           // for messages, such as "nvme0"
	Memory *memory.Guest    // guest RAM
	MSI    irq.MSIAllocator // nil leaves the controller with its pin alone
	// Namespaces are the disks, at most 64, each with an ID of its own.
	Namespaces []Namespace
	// QueuePairs is the number of I/O queue pairs, 1 to 64; 0 means 1. One for each vCPU serves best.
	QueuePairs int
	// Executors is how many requests are carried out at the same time, all queues together; 0 means 8.
	Executors int
	// Serial and Model are up to 20 and 40 bytes of ASCII.
	Serial, Model string
	// UUID names the NVM subsystem; the namespaces' own are derived from it.
	UUID [16]byte
	// Log takes the errors of images and of drivers; nil discards them.
	Log *slog.Logger
}

// Namespace is one disk of a controller.
type Namespace struct {
	// ID is 1 to 64. There may be gaps.
	ID uint32
	// Image is the disk. It stays owned by the caller, who closes it after the controller is no longer used.
	Image disk.Image
	// ReadOnly refuses all writes. It is implied by an image that is read-only.
	ReadOnly bool
	// WriteThrough makes every write durable before it completes, whatever the guest would accept.
	WriteThrough bool
	// Reads and Writes bound how fast commands are taken from the guest; what waits, waits in its queues. Flushes, deallocations and zeroes
	// are writes. nil is no bound.
	Reads, Writes *throttle.Gate
}

// namespace is a Namespace in use.
type namespace struct {
	Namespace
	shift uint // log2 of the block size
	pace  pace.Pace
}

func (n *namespace) blocks() uint64 { return uint64(n.Image.Size()) >> n.shift }

// life is what a controller is doing.
type life uint8

const (
	off      life = iota // CC.EN is 0, or the controller could not be enabled
	on                   // enabled; the workers run unless paused
	stopping             // a reset waits for requests in flight
)

// Controller is an NVMe controller. It implements state.Device, and bus.Device for its registers.
type Controller struct {
	name       string
	log        *slog.Logger
	mem        *memory.Guest
	fn         *pci.Function
	msix       *pci.MSIX    // nil without MSI
	namespaces []*namespace // by ID - 1; nil where there is none
	config     Config
	cached     bool // some namespace has a volatile write cache

	kicks []*event.Event               // by submission queue
	sqs   []atomic.Pointer[submission] // by ID; changed under mu
	cqs   []atomic.Pointer[completion] // by ID; changed under mu

	pool      worker.Group  // the executors
	jobs      chan *request // from the lanes to the executors; closed when the lanes have ended
	abandoned atomic.Bool   // a reset is under way: what has not begun need not be done
	drains    sync.WaitGroup
	bound     atomic.Bool   // the kernel answers doorbells
	fatal     atomic.Bool   // CSTS.CFS
	masked    atomic.Uint32 // INTMS
	intxMu    sync.Mutex    // makes looking at the queues and driving the pin one step
	features  features
	events    events
	errors    errorLog
	smart     smart

	mu       sync.Mutex // guards the following
	life     life
	running  bool // the workers run
	cc       uint32
	aqa      uint32
	asq, acq uint64
	shutdown uint32 // CSTS.SHST
	nssro    bool   // CSTS.NSSRO
	// flushing says that a shutdown's flush is under way, and flushAgain that another has to follow it.
	flushing, flushAgain bool
	shadow               shadowBuffers
}

// New returns a controller that is powered on and not enabled.
func New(c Config) (*Controller, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.QueuePairs == 0 {
		c.QueuePairs = 1
	}
	if c.Executors == 0 {
		c.Executors = defaultExecutors
	}
	d := &Controller{name: c.Name, log: c.Log.With("device", c.Name), mem: c.Memory, config: c}
	switch {
	case c.QueuePairs < 1 || c.QueuePairs > maxPairs:
		return nil, fmt.Errorf("nvme: %s: %d queue pairs, must be 1 to %d", c.Name, c.QueuePairs, maxPairs)
	case c.Executors < 1:
		return nil, fmt.Errorf("nvme: %s: %d executors, must be at least 1", c.Name, c.Executors)
	case len(c.Serial) > serialSize || len(c.Model) > modelSize:
		return nil, fmt.Errorf("nvme: %s: serial number %q or model %q is too long", c.Name, c.Serial, c.Model)
	}
	if err := d.addNamespaces(c.Namespaces); err != nil {
		return nil, fmt.Errorf("nvme: %s: %w", c.Name, err)
	}
	d.sqs = make([]atomic.Pointer[submission], c.QueuePairs+1)
	d.cqs = make([]atomic.Pointer[completion], c.QueuePairs+1)
	for range d.sqs {
		kick, err := event.New()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("nvme: %s: %w", c.Name, err), d.closeEvents())
		}
		d.kicks = append(d.kicks, kick)
	}
	d.events.kick = d.kicks[0].Signal
	d.features.reset()
	if err := d.describe(c.MSI); err != nil {
		return nil, errors.Join(fmt.Errorf("nvme: %s: %w", c.Name, err), d.closeEvents())
	}
	return d, nil
}

func (d *Controller) addNamespaces(all []Namespace) error {
	for _, n := range all {
		if n.ID < 1 || n.ID > maxNamespaces {
			return fmt.Errorf("namespace %d, must be 1 to %d", n.ID, maxNamespaces)
		}
		for len(d.namespaces) < int(n.ID) {
			d.namespaces = append(d.namespaces, nil)
		}
		if d.namespaces[n.ID-1] != nil {
			return fmt.Errorf("namespace %d is there twice", n.ID)
		}
		info := n.Image.Info()
		n.ReadOnly = n.ReadOnly || info.ReadOnly
		ns := &namespace{Namespace: n}
		switch info.SectorSize {
		case 0, 512:
			ns.shift = 9
		case 4096:
			ns.shift = 12
		default:
			return fmt.Errorf("namespace %d: blocks of %d bytes, must be 512 or 4096", n.ID, info.SectorSize)
		}
		d.namespaces[n.ID-1] = ns
		d.cached = d.cached || !n.WriteThrough
	}
	return nil
}

// describe builds the PCI function.
func (d *Controller) describe(msi irq.MSIAllocator) error {
	d.fn = pci.NewFunction(d.name, Identity)
	d.fn.UseINTx(1)
	if err := d.fn.AddBAR(0, pci.Mem64, barSize, d); err != nil {
		return err
	}
	if msi != nil {
		var err error
		if d.msix, err = d.fn.AddMSIX(msi, len(d.cqs), 0, tableBase, pendingBase); err != nil {
			return err
		}
	}
	return d.fn.AddExpress(pci.IntegratedEndpoint, d.functionReset)
}

// Function is what to plug into the PCI root.
func (d *Controller) Function() *pci.Function { return d.fn }

// Close stops the controller and gives back its events and interrupts. No vCPU may run any more.
func (d *Controller) Close() error {
	d.Reset()
	if d.msix != nil {
		d.msix.Close()
	}
	return d.closeEvents()
}

func (d *Controller) closeEvents() error {
	var errs []error
	for _, k := range d.kicks {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// namespace returns a namespace by its ID, or nil.
func (d *Controller) namespace(id uint32) *namespace {
	if id == 0 || id > uint32(len(d.namespaces)) {
		return nil
	}
	return d.namespaces[id-1]
}
