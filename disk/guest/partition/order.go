package partition

import (
	"cmp"
	"slices"
)

// order returns the indices of the entries by where they start.
func (t *Table) order() []int {
	o := make([]int, len(t.Entries))
	for k := range o {
		o[k] = k
	}
	slices.SortStableFunc(o, func(a, b int) int { return cmp.Compare(t.Entries[a].Offset, t.Entries[b].Offset) })
	return o
}
