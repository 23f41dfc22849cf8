package retention

import (
	"fmt"
	"strings"
	"time"
)

// blocked says why nothing may be erased.
func (m Memory) blocked(at time.Time) []string {
	var why []string
	if missing := m.MissingHolds(); len(missing) > 0 {
		why = append(why, missingSentence(missing))
	}
	if m.paused.After(at) {
		why = append(why, fmt.Sprintf("So many policies changed that not all that they protected is known; nothing is erased until %s.",
			m.paused.Format(time.RFC3339)))
	}
	return why
}

// missingSentence names a few of the missing holds.
func missingSentence(missing []string) string {
	const most = 10
	names := missing[:min(len(missing), most)]
	more := ""
	if n := len(missing) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("Holds are missing that nobody released: %s%s; nothing is erased until they are there again.",
		strings.Join(names, ", "), more)
}
