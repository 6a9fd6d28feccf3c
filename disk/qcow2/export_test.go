package qcow2

// GetCount and PutCount are for tests.
var (
	GetCount = getCount
	PutCount = putCount
)

// InMemory tells how many bytes of L2 tables are in memory, and how many of all tables wait to be written.
func InMemory(i *Image) (tables, unsaved int64) {
	i.table.mu.Lock()
	defer i.table.mu.Unlock()
	return int64(len(i.table.loaded)) * i.table.pieceSize(), i.table.unsaved.Load()
}
