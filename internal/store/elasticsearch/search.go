package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	json "github.com/go-json-experiment/json"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// envelopeBytes is what a hit holds beside the document, at most, and what
	// an answer holds beside its hits: names, sort values, words.
	envelopeBytes = 512 + record.MaxWords*(record.MaxWordBytes+len(`"",`))
	// firstHitBytes is how large a hit is taken to be until one was seen.
	firstHitBytes = 1 << 10
)

// search is one search: where it goes and its body.
type search struct {
	target target
	body   []byte
	// size is how many hits it asks for.
	size int
}

// conditions are all that a record must satisfy for q.
func (s *Store) conditions(q query.Query) (clause, error) {
	schema, ok := s.schemas[q.Kind]
	if !ok {
		return nil, &query.Error{Path: "kind", Message: fmt.Sprintf("%q is not a kind of record", q.Kind)}
	}
	filters, err := restrictions(q.Scope, q.Filter)
	if err != nil {
		return nil, err
	}
	var all []clause
	if bounds, ok := bounds(q); ok {
		all = append(all, bounds)
	}
	for _, filter := range filters {
		c, err := translate(schema, filter)
		if err != nil {
			return nil, &query.Error{Path: "filter", Message: err.Error()}
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return everything{}, nil
	}
	return allOf{filter: all}, nil
}

// restrictions refuses a scope that was never resolved, validated or not: this
// is the last place that can.
func restrictions(scope query.Scope, filter query.Filter) ([]query.Filter, error) {
	var filters []query.Filter
	switch {
	case scope.Restrict != nil:
		filters = append(filters, scope.Restrict)
	case scope.Name != query.AllScope:
		return nil, &query.Error{Path: "scope", Message: "no scope was resolved for this request"}
	}
	if filter != nil {
		filters = append(filters, filter)
	}
	return filters, nil
}

// bounds is the window, ended by the cursor: without its time as a bound a deep
// page costs ten times the first.
func bounds(q query.Query) (clause, bool) {
	b := between{field: fieldTime}
	if !q.From.IsZero() {
		b.gte = record.At(q.From).String()
	}
	if !q.To.IsZero() {
		b.lt = record.At(q.To).String()
	}
	if q.After != nil && (q.To.IsZero() || q.After.Micros < q.To.UnixMicro()) {
		b.lt, b.lte = "", record.Timestamp(q.After.Micros).String()
	}
	return b, b != between{field: fieldTime}
}

// appendSearch writes the body of a search for a page. totals is false, true or
// a number, as track_total_hits takes it.
func appendSearch(b []byte, conditions clause, after *query.Position, size int, totals string) []byte {
	b = append(b, `{"size":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(append(b, `,"track_total_hits":`...), totals...)
	if size > 0 {
		b = append(b, `,"sort":[{"time":"desc"},{"id_high":"desc"},{"id_low":"desc"}]`...)
	}
	if after != nil {
		high, low := record.ID(after.ID).Halves()
		b = append(b, `,"search_after":["`...)
		b = append(b, record.Timestamp(after.Micros).String()...)
		b = strconv.AppendInt(append(b, `",`...), high, 10)
		b = strconv.AppendInt(append(b, ','), low, 10)
		b = append(b, ']')
	}
	b = conditions.appendTo(append(b, `,"query":`...))
	return append(b, '}')
}

// pageSearch is the search for size records of q.
func (s *Store) pageSearch(q query.Query, size int, totals string) (search, error) {
	conditions, err := s.conditions(q)
	if err != nil {
		return search{}, err
	}
	return search{size: size, body: appendSearch(nil, conditions, q.After, size, totals)}, nil
}

// run asks one search in the records of a kind and window, and again if an index
// vanished between two steps: several may be erased one after the other.
func (s *Store) run(ctx context.Context, kind record.Kind, w span, asked search) (answer, error) {
	const tries = 3
	ctx, cancel := context.WithTimeout(ctx, s.client.timeout)
	defer cancel()
	var err error
	if asked.target, err = s.catalogue.target(ctx, kind, w); err != nil {
		return answer{}, err
	}
	for try := 1; ; try++ {
		a, err := s.ask(ctx, asked)
		if !vanished(err) || try == tries {
			return a, err
		}
		if asked.target, err = s.catalogue.freshTarget(ctx, kind, w); err != nil {
			return answer{}, err
		}
	}
}

// vanished tells whether an index may have been deleted before a search, or in
// the middle of it.
func vanished(err error) bool {
	return isKind(err, kindIndexNotFound) || isKind(err, kindContextGone) || isKind(err, kindNoShard) ||
		errors.Is(err, errFewerShards)
}

// ask sends one search and checks its answer.
func (s *Store) ask(ctx context.Context, asked search) (answer, error) {
	no := false
	answered, err := s.client.do(ctx, call{
		limit: store.MaxPageBytes + (asked.size+1)*envelopeBytes, hint: s.sizes.expect(asked.size),
		build: func() esapi.Request {
			return esapi.SearchRequest{Index: asked.target.expression, Body: bytes.NewReader(asked.body),
				ExpandWildcards: expandWildcards, AllowPartialSearchResults: &no}
		}})
	if err != nil {
		return answer{}, err
	}
	a, err := readAnswer(answered.body, asked.size)
	if err == nil {
		err = a.check(asked.target.shards)
	}
	if err != nil {
		return answer{}, err
	}
	s.sizes.saw(len(answered.body), len(a.documents))
	return a, nil
}

// positionOf reads where a document is in the total order, from the document:
// decoded sort values would have to be exact in every bit.
func positionOf(document []byte) (*query.Position, error) {
	var at struct {
		ID   record.ID        `json:"id"`
		Time record.Timestamp `json:"time"`
	}
	if err := json.Unmarshal(document, &at); err != nil || at.ID.IsZero() {
		return nil, errForeignDocument
	}
	return &query.Position{Micros: int64(at.Time), ID: at.ID}, nil
}
