// Package trail is what the tests of retention share: records of 40 organisations
// over years, the stores that they are kept in, and a walk through a store that
// compares each record that is there, or is not, with what a rule says of it.
package trail

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// appendAtOnce is how many records are given to a store at a time.
const appendAtOnce = 2000

// Trail knows which records a store has acknowledged and may still hold. Its
// methods may be called from several goroutines, but Verify by one alone and while
// nothing is written.
type Trail struct {
	mutex   sync.Mutex
	members []member
	index   map[record.ID]int
	gone    int
	// pending were sent, and nobody was told whether they are stored.
	pending map[record.ID]record.Record
}

type member struct {
	record record.Record
	gone   bool
}

// New is the trail of an empty store.
func New() *Trail { return &Trail{index: map[record.ID]int{}, pending: map[record.ID]record.Record{}} }

// Append stores records, which are new. Those that were acknowledged belong to the
// trail from then on. It returns how many were not, because the store could not
// answer now; those may turn up. Any other outcome is an error.
func (t *Trail) Append(ctx context.Context, w store.Writer, records []record.Record) (refused int, err error) {
	for start := 0; start < len(records); start += appendAtOnce {
		part := records[start:min(start+appendAtOnce, len(records))]
		outcomes, err := w.Append(ctx, part)
		if err != nil && !store.IsUnavailable(err) && !store.IsTimeout(err) {
			return refused, err
		}
		n, err := t.account(part, outcomes)
		if refused += n; err != nil {
			return refused, err
		}
	}
	return refused, nil
}

// account notes what became of records; no outcomes at all when nothing is known.
func (t *Trail) account(records []record.Record, outcomes []store.Outcome) (refused int, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	for i, r := range records {
		switch {
		case len(outcomes) == 0 || outcomes[i].Result == store.Failed:
			t.pending[r.Base().ID] = r
			refused++
		case outcomes[i].Result == store.Stored:
			t.add(r)
		default:
			return refused, fmt.Errorf("%s: %s: %w", describe(r), outcomes[i].Result, outcomes[i].Err)
		}
	}
	return refused, nil
}

// AppendAll is Append for stores that have no reason to refuse anything, the oldest
// records first.
func (t *Trail) AppendAll(ctx context.Context, w store.Writer, records []record.Record) error {
	slices.SortFunc(records, func(a, b record.Record) int { return cmp.Compare(a.Base().Time, b.Base().Time) })
	refused, err := t.Append(ctx, w, records)
	if err == nil && refused > 0 {
		err = fmt.Errorf("%d of %d records were not stored", refused, len(records))
	}
	return err
}

func (t *Trail) add(r record.Record) {
	t.index[r.Base().ID] = len(t.members)
	t.members = append(t.members, member{record: r})
}

// Len is how many records are known to be there.
func (t *Trail) Len() int {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return len(t.members) - t.gone
}

// Select returns the records that are known to be there and satisfy a condition.
func (t *Trail) Select(wanted func(record.Record) bool) []record.Record {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	var selected []record.Record
	for _, m := range t.members {
		if !m.gone && wanted(m.record) {
			selected = append(selected, m.record)
		}
	}
	return selected
}

// Rule says what may become of records.
type Rule struct {
	// Due tells whether a record is to be erased. One that is not has to be there.
	Due func(record.Record) bool
	// Done means that everything that is due has to be gone.
	Done bool
}

// Verify walks through a store and compares it with the trail, record by record.
// Whatever is gone, and was allowed to go, is forgotten.
func (t *Trail) Verify(ctx context.Context, reader store.Reader, rule Rule) (Report, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	w := walk{trail: t, seen: make([]bool, len(t.members))}
	for _, kind := range record.Kinds() {
		if err := w.read(ctx, reader, kind); err != nil {
			return w.report, err
		}
	}
	t.judge(&w, rule)
	return w.report, w.report.Err()
}

// judge looks at each record that the walk found, and at each that it did not.
func (t *Trail) judge(w *walk, rule Rule) {
	for i := range t.members {
		m := &t.members[i]
		// What was added in this walk was seen by it.
		seen := i >= len(w.seen) || w.seen[i]
		if m.gone {
			continue
		}
		due := rule.Due(m.record)
		switch {
		case !seen && due:
			m.gone = true
			t.gone++
			w.report.Erased++
		case !seen:
			w.report.Lost++
			w.example("it lost %s", describe(m.record))
		case due && rule.Done:
			w.report.Left++
			w.example("it still has %s, which is due", describe(m.record))
		case due:
			w.report.Due++
		}
	}
}
