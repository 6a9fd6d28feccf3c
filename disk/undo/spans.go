package undo

import "slices"

// span is bytes [from, to) of a file.
type span struct{ from, to int64 }

// spans is a set of bytes: sorted, without overlaps, and not touching each other.
type spans []span

// add puts [from, to) into the set.
func (s *spans) add(from, to int64) {
	if from >= to {
		return
	}
	i, _ := slices.BinarySearchFunc(*s, from, func(x span, from int64) int {
		if x.to < from {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*s) && (*s)[j].from <= to {
		from, to = min(from, (*s)[j].from), max(to, (*s)[j].to)
		j++
	}
	*s = slices.Replace(*s, i, j, span{from, to})
}

// missing returns the parts of [from, to) that are not in the set.
func (s spans) missing(from, to int64) (out []span) {
	i, _ := slices.BinarySearchFunc(s, from, func(x span, from int64) int {
		if x.to <= from {
			return -1
		}
		return 1
	})
	for ; from < to && i < len(s) && s[i].from < to; i++ {
		if from < s[i].from {
			out = append(out, span{from, s[i].from})
		}
		from = s[i].to
	}
	if from < to {
		out = append(out, span{from, to})
	}
	return out
}
