package elasticsearch

import (
	"slices"
	"testing"
	"time"
)

// TestPagesOfAPointFindEverythingInFewSteps walks over records that are spread
// in ways that mislead a guess of the next page's length.
func TestPagesOfAPointFindEverythingInFewSteps(t *testing.T) {
	from, to := date(2026, 9, 1), date(2026, 10, 1)
	spread := func(count int, at func(n int) time.Duration) []time.Time {
		var times []time.Time
		for n := range count {
			times = append(times, from.Add(at(n)))
		}
		return times
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		times []time.Time
		// wantAtMost is how many pages of 1 and of 10 it may take.
		wantAtMost map[int]int
	}{
		"none":              {nil, map[int]int{1: 10, 10: 10}},
		"one at the end":    {spread(1, func(int) time.Duration { return 30*day - 1000 }), map[int]int{1: 10, 10: 10}},
		"evenly":            {spread(300, func(n int) time.Duration { return time.Duration(n) * day / 10 }), map[int]int{1: 400, 10: 60}},
		"all at once":       {spread(300, func(int) time.Duration { return 20 * day }), map[int]int{1: 330, 10: 60}},
		"ten at once a day": {spread(300, func(n int) time.Duration { return time.Duration(n/10) * day }), map[int]int{1: 700, 10: 300}},
		"half in an hour": {spread(300, func(n int) time.Duration {
			if n < 150 {
				return 5*day + time.Duration(n)*time.Hour/150
			}
			return time.Duration(n) * day / 10
		}), map[int]int{1: 500, 10: 90}},
	} {
		for _, size := range []int{1, 10} {
			times := slices.Clone(c.times)
			slices.SortFunc(times, time.Time.Compare)
			p, pages := &point{at: from, to: to, step: time.Hour}, 0
			for ; !p.ended() && pages <= c.wantAtMost[size]; pages++ {
				slice, found := p.slice(), &foundHits{}
				for _, at := range times {
					if at.Before(slice.to) && !at.Before(slice.from) && len(found.hits) < size {
						found.hits, found.last = append(found.hits, hit{}), at
					}
				}
				times = times[len(found.hits):] // as search_after does
				p.advance(slice, found, size)
			}
			if len(times) > 0 || pages > c.wantAtMost[size] {
				t.Errorf("%s, pages of %d: %d records are left after %d pages, at %v, a step of %v", name, size, len(times), pages, p.at, p.step)
			}
		}
	}
}
