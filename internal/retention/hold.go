package retention

import (
	"slices"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// BatchTimeout is how long a batch of erasures may take. A hold is sure to hold
// this long after it was seen first.
const BatchTimeout = 30 * time.Second

// HoldSpec says which records a hold keeps: those that every given part selects.
// Values are as records hold them.
type HoldSpec struct {
	// Kinds are the kinds of record; empty: all.
	Kinds []record.Kind `json:"kinds,omitempty"`
	// OrgIDs, UserIDs and TargetIDs are any of these; empty: all. Only Audits
	// have a target, so a hold with TargetIDs holds Audits only.
	OrgIDs    []string `json:"orgIDs,omitempty"`
	UserIDs   []string `json:"userIDs,omitempty"`
	TargetIDs []string `json:"targetIDs,omitempty"`
	// From is inclusive, To exclusive, zero is open. A period that ends before
	// it begins is none: the hold is then one for all times.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// ReleaseDelay is how long the hold goes on holding after its deletion, and
	// how long what a change takes out of it is still held.
	ReleaseDelay time.Duration `json:"releaseDelay,omitempty"`
}

// Hold is what the API says of a hold now.
type Hold struct {
	Name, UID string
	Spec      HoldSpec
	// Deleting tells that somebody asked for its deletion. Keep tells that it
	// has the annotation auditquery.dev/keep, which suspends the deletion.
	Deleting, Keep bool
}

// fields that holds and policies select by.
const (
	fieldTime   = "time"
	fieldOrg    = "org_id"
	fieldUser   = "user_id"
	fieldTarget = "target_id"
)

// Filter returns what h holds of a kind: nil is everything. It is false when that
// is nothing.
func (h HoldSpec) Filter(kind record.Kind) (query.Filter, bool) {
	if !h.about(kind) {
		return nil, false
	}
	var parts query.And
	for _, part := range []struct {
		field  string
		values []string
	}{{fieldOrg, h.OrgIDs}, {fieldUser, h.UserIDs}, {fieldTarget, h.TargetIDs}} {
		if len(part.values) > 0 {
			parts = append(parts, oneOf(part.field, part.values))
		}
	}
	if period, limited := h.period().filter(); limited {
		parts = append(parts, period)
	}
	switch len(parts) {
	case 0:
		return nil, true
	case 1:
		return parts[0], true
	default:
		return parts, true
	}
}

// about tells whether h can hold records of a kind.
func (h HoldSpec) about(kind record.Kind) bool {
	return (len(h.Kinds) == 0 || slices.Contains(h.Kinds, kind)) &&
		(len(h.TargetIDs) == 0 || kind == record.KindAudit)
}

// Holds tells whether h holds a record.
func (h HoldSpec) Holds(r record.Record) bool {
	if !h.about(r.Kind()) {
		return false
	}
	base := r.Base()
	var target string
	if a, ok := r.(*record.Audit); ok {
		target = a.TargetID
	}
	return among(h.OrgIDs, base.OrgID) && among(h.UserIDs, base.UserID) && among(h.TargetIDs, target) &&
		h.period().contains(base.Time.Time())
}

func among(list []string, value string) bool {
	return len(list) == 0 || slices.Contains(list, value)
}

// normal returns h as Memory keeps it: lists sorted, and a period that JSON can
// write. Records have times between 1970 and 2262 only.
func (h HoldSpec) normal() HoldSpec {
	h.Kinds = sorted(h.Kinds)
	h.OrgIDs, h.UserIDs, h.TargetIDs = sorted(h.OrgIDs), sorted(h.UserIDs), sorted(h.TargetIDs)
	h.From, h.To = h.period().normal()
	h.ReleaseDelay = max(h.ReleaseDelay, 0)
	return h
}

func (h HoldSpec) equal(other HoldSpec) bool {
	return h.sameContent(other) && h.ReleaseDelay == other.ReleaseDelay
}

// sameContent tells whether two normal specs select by the same values.
func (h HoldSpec) sameContent(other HoldSpec) bool {
	return slices.Equal(h.Kinds, other.Kinds) && slices.Equal(h.OrgIDs, other.OrgIDs) &&
		slices.Equal(h.UserIDs, other.UserIDs) && slices.Equal(h.TargetIDs, other.TargetIDs) &&
		h.From.Equal(other.From) && h.To.Equal(other.To)
}

// period is a half-open span of time; zero ends are open.
type period struct{ from, to time.Time }

func (h HoldSpec) period() period {
	if !h.From.IsZero() && !h.To.IsZero() && !h.From.Before(h.To) {
		return period{}
	}
	return period{h.From, h.To}
}

func (p period) contains(t time.Time) bool {
	return (p.from.IsZero() || !t.Before(p.from)) && (p.to.IsZero() || t.Before(p.to))
}

// overlaps tells whether an instant can be in both periods.
func (p period) overlaps(other period) bool {
	return (p.to.IsZero() || other.from.IsZero() || other.from.Before(p.to)) &&
		(other.to.IsZero() || p.from.IsZero() || p.from.Before(other.to))
}

// firstTime and lastTime bound the times that records can have.
func firstTime() time.Time { return time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC) }
func lastTime() time.Time  { return time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC) }

// normal opens the ends of p that are out of bounds, or moves them into these.
func (p period) normal() (from, to time.Time) {
	if p.from.After(firstTime()) {
		from = earlier(plain(p.from), lastTime())
	}
	if !p.to.IsZero() && p.to.Before(lastTime()) {
		to = later(plain(p.to), firstTime())
	}
	return from, to
}

// filter returns p as a filter; false when it is open at both ends.
func (p period) filter() (query.Filter, bool) {
	within := query.Range{Field: fieldTime}
	from, to := p.normal()
	if !from.IsZero() {
		within.Min = from.Format(time.RFC3339Nano)
	}
	if !to.IsZero() {
		within.Max = to.Format(time.RFC3339Nano)
	}
	return within, within.Min != "" || within.Max != ""
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// oneOf selects records whose field has one of the values; the empty value stands
// for records without the field.
func oneOf(field string, values []string) query.Filter {
	matching := query.Or{}
	if slices.Contains(values, "") {
		matching = append(matching, query.Not{Filter: query.Exists{Field: field}})
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	}
	for chunk := range slices.Chunk(values, query.MaxValues) {
		if len(chunk) == 1 {
			matching = append(matching, query.Equal{Field: field, Value: chunk[0]})
			continue
		}
		matching = append(matching, query.AnyOf{Field: field, Values: chunk})
	}
	if len(matching) == 1 {
		return matching[0]
	}
	return matching
}
