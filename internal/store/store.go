// Package store says what a store of records can do. The backends are in its
// subpackages; a process is given only the interfaces that its role needs.
package store

import (
	"context"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// MaxPageBytes bounds the documents of one page. A page that would be larger
// ends early and has a Next, whatever its limit.
const MaxPageBytes = 16 << 20

// Reader answers queries. Queries must have passed query.Validate.
//
// Every error is an *Error. An answer is whole or an error: a store that was
// interrupted, timed out, or lacks a part of its data never gives a short page.
// Methods may be called from several goroutines.
type Reader interface {
	// List returns one page, newest first.
	List(ctx context.Context, q query.Query) (Page, error)
	// Get returns the document with an id if scope allows it; NotFound for
	// what does not exist and for what scope hides.
	Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error)
	// Count returns how many records match, ignoring Limit and After. With
	// atMost > 0 counting may stop there; 0 counts to the end.
	Count(ctx context.Context, q query.Query, atMost int) (Count, error)
}

// BatchReader runs many queries in one round trip.
type BatchReader interface {
	// Search runs each question and returns as many answers, in order. One
	// failed question leaves the others whole.
	Search(ctx context.Context, questions []Question) []Answer
}

// Question is a page and, with CountAtMost > 0, a count of the same query that
// may stop there.
type Question struct {
	Query       query.Query
	CountAtMost int
}

// Answer holds Page (and Count, if asked for), or Err.
type Answer struct {
	Page  Page
	Count Count
	Err   error
}

// Writer stores records. Records must have passed record.Normalize.
type Writer interface {
	// Append stores records and returns one outcome each, in order. Writing
	// a record again is a no-op. The error is non-nil only when nothing is
	// known of any of them, so that all may be sent again.
	Append(ctx context.Context, records []record.Record) ([]Outcome, error)
}

// PreparedWriter stores records that were prepared before, as a spool keeps them.
type PreparedWriter interface {
	// AppendPrepared is Append for prepared records: the same outcomes, the
	// same error. Documents and words are read during the call only.
	AppendPrepared(ctx context.Context, records []record.Prepared) ([]Outcome, error)
}

// Page is a part of an answer.
type Page struct {
	// Documents are records as JSON, newest first, as record.Encode writes
	// them. They may share memory: read only.
	Documents [][]byte
	// Next is where the next page begins, nil at the end.
	Next *query.Position
}

// Count is a number of records.
type Count struct {
	Records int64
	// Exact is false when there are at least Records.
	Exact bool
}

// Outcome is what became of one record.
type Outcome struct {
	Result Result
	// Err says why for Collision, Rejected and Failed.
	Err error
}

// Result is what became of one record.
type Result int

// The results of appending one record.
const (
	// Stored means that the record was not there and now is.
	Stored Result = iota + 1
	// Duplicate means that the same record was there.
	Duplicate
	// Collision means that a different record with its id was there. It is
	// kept; the new one belongs into the dead letters.
	Collision
	// Rejected means that the store can never accept the record.
	Rejected
	// Failed means that the store could not take it now: send it again.
	Failed
)

func (r Result) String() string {
	switch r {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case Collision:
		return "collision"
	case Rejected:
		return "rejected"
	case Failed:
		return "failed"
	default:
		return "unknown"
	}
}

// PositionOf returns the place of a record in the total order.
func PositionOf(r record.Record) query.Position {
	base := r.Base()
	return query.Position{Micros: int64(base.Time), ID: base.ID}
}
