package qcow2

// GetCount and PutCount are for tests.
var (
	GetCount = getCount
	PutCount = putCount
)
