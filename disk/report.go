package disk

// Report is what a check of an image's metadata found.
type Report struct {
	Format    string
	Allocated int64 // blocks that are stored
	Total     int64 // blocks that the disk has
	BlockSize int64 // bytes
	Leaked    int64 // bytes of the files that nothing refers to
	Problems  []Problem
	// More counts the problems beyond the first [MaxProblems], which are not listed.
	More int64
}

// MaxProblems bounds the list of a [Report], so that a file of garbage cannot fill memory.
const MaxProblems = 1000

// Problem is one broken rule.
type Problem struct {
	Severity Severity
	File     string
	Offset   int64 // byte in File
	What     string
}

// Severity ranks a [Problem].
type Severity uint8

// The severities.
const (
	// Leak wastes space and endangers nothing.
	Leak Severity = iota
	// Repairable contradicts a redundant copy that is sound.
	Repairable
	// Damage means that some of the disk's contents cannot be trusted.
	Damage
)

func (s Severity) String() string { return [...]string{"leak", "repairable", "damage"}[s] }

// Add appends p, or counts it if there are too many.
func (r *Report) Add(p Problem) {
	if len(r.Problems) >= MaxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// Worst is the highest severity found, and false if there is no problem at all.
func (r *Report) Worst() (Severity, bool) {
	worst := Leak
	for _, p := range r.Problems {
		worst = max(worst, p.Severity)
	}
	return worst, len(r.Problems) > 0
}
