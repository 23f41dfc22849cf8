package auditquery

import (
	"errors"

	"k8s.io/utils/ptr"

	"auditquery.dev/auditquery/api/v1alpha1"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// MaxStatusBytes bounds the JSON of a whole status.
const MaxStatusBytes = 256 << 10

// remarks is what Ready may have to say about rows that do not fit, once it is
// known which these are.
const remarks = len(messageTruncated) + len(messageNoContinue)

// rowsOverhead is what a list of rows takes beside its rows and their commas.
const rowsOverhead = len(`,"authAudits":[]`)

// tokenFunc makes the continue token of a status that holds the first n rows; it
// is empty when none can be made.
type tokenFunc func(n int) string

// fit sets the fields of status that depend on how many rows it holds, and
// returns that number: as many whole rows as leave the whole within limit bytes.
// More says that the store has records behind rows.
func fit(status *v1alpha1.AuditQueryStatus, rows []row, more bool, token tokenFunc, limit int) int {
	n := len(rows)
	for {
		status.Returned = ptr.To(int32(n)) //nolint:gosec // at most 500
		status.Truncated, status.TruncatedReason, status.Continue = false, "", ""
		if n < len(rows) {
			status.Truncated, status.TruncatedReason = true, v1alpha1.TruncatedStatusSize
		}
		if n < len(rows) || more {
			status.Continue = token(n)
		}
		room := limit - jsonLength(status) - rowsOverhead
		fitting := prefix(rows[:n], room)
		if fitting == n {
			if n < len(rows) && rows[n].bytes > room {
				status.TruncatedReason = v1alpha1.TruncatedRecordSize
			}
			return n
		}
		n = fitting
	}
}

// prefix is how many of the first rows fit into room bytes.
func prefix(rows []row, room int) int {
	used := 0
	for n := range rows {
		used += rows[n].bytes + 1
		if used > room {
			return n
		}
	}
	return len(rows)
}

// continueToken returns what makes the continue tokens of a run's rows, and
// whether they can be made at all.
func continueToken(cursors *store.Cursors, q query.Query, rows []row) (token tokenFunc, tooLarge bool) {
	encode := func(n int) (string, error) {
		return cursors.Encode(store.Cursor{
			Kind: q.Kind, Scope: q.Scope.Name, From: q.From, To: q.To, Filter: q.Filter,
			After: behind(rows, n), Rows: n,
		})
	}
	_, err := encode(len(rows))
	token = func(n int) string {
		text, err := encode(n)
		if err != nil {
			return ""
		}
		return text
	}
	return token, errors.Is(err, store.ErrFilterTooLarge)
}

// behind is the position from which a list goes on after the first n rows. With
// none held it is the last one before the first row.
func behind(rows []row, n int) query.Position {
	switch {
	case n > 0:
		return rows[n-1].at
	case len(rows) > 0:
		before := query.Position{Micros: rows[0].at.Micros}
		for i := range before.ID {
			before.ID[i] = 0xff
		}
		return before
	default:
		return query.Position{}
	}
}

// put places rows into a status and returns which set they are.
func put(status *v1alpha1.AuditQueryStatus, kind record.Kind, rows []row) rowSet {
	status.Audits, status.AuthAudits = nil, nil
	ids := make([]string, 0, len(rows))
	bytes := 0
	for _, r := range rows {
		ids = append(ids, r.id)
		bytes += r.bytes + 1
		if r.audit != nil {
			status.Audits = append(status.Audits, *r.audit)
		} else {
			status.AuthAudits = append(status.AuthAudits, *r.auth)
		}
	}
	return newRowSet(kind, ids, bytes)
}
