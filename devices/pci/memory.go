package pci

// Memory is memory of a device that the guest reaches like RAM, without the bus: a memory slot of the hypervisor.
type Memory interface {
	// Place shows it to the guest at base. An error says that something else is there, and leaves it nowhere.
	Place(base uint64) error
	// Remove takes it out of the guest's sight.
	Remove() error
}

// AddMemoryBAR makes BAR index decode memory m of size bytes. The rules are those of AddBAR, and size is at least a page. Both methods of m are
// called under the root's lock, and must not call the Root or Function.
func (f *Function) AddMemoryBAR(index int, kind BARKind, size uint64, m Memory) error {
	if err := f.AddBAR(index, kind, size, nil); err != nil {
		return err
	}
	f.bars[index].memory = m
	return nil
}
