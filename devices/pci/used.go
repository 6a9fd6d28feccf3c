package pci

// MemoryUsed returns where the memory BARs of all functions are, whether they are decoded at the moment or not; those without an address are left out.
func (r *Root) MemoryUsed() (used []Window) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.each(func(f *Function) {
		for i, b := range f.bars {
			if b == nil || b.kind == IO {
				continue
			}
			if base, _ := f.address(i); base != 0 {
				used = append(used, Window{Base: base, Size: b.size})
			}
		}
	})
	return used
}
