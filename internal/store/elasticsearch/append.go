package elasticsearch

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxBulkBytes and maxBulkRecords bound one bulk request. Larger ones
	// are not faster.
	maxBulkBytes   = 8 << 20
	maxBulkRecords = 5_000
	// maxKeptBody is the largest body whose memory is used again: more than a
	// shipper sends at once.
	maxKeptBody = 4 << 20
	dayMicros   = 24 * 60 * 60 * 1_000_000
)

// Append stores records and returns one outcome each, in order.
func (s *Store) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	return s.append(ctx, &plainInput{records: records})
}

// AppendPrepared is Append for prepared records: nothing of them is decoded.
func (s *Store) AppendPrepared(ctx context.Context, records []record.Prepared) ([]store.Outcome, error) {
	return s.append(ctx, preparedInput(records))
}

func (s *Store) append(ctx context.Context, in input) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, in.len())
	for _, group := range s.groups(ctx, in, outcomes) {
		s.appendGroup(ctx, in, group, outcomes)
	}
	return outcomes, nothingKnown(outcomes)
}

// nothingKnown returns the error of a batch of which every record failed.
func nothingKnown(outcomes []store.Outcome) error {
	for _, o := range outcomes {
		if o.Result != store.Failed {
			return nil
		}
	}
	if len(outcomes) == 0 {
		return nil
	}
	return outcomes[0].Err
}

// group is the records of one index, by their places in the batch.
type group struct {
	destination
	kind   record.Kind
	places []int
}

// groups sorts records by the index that they go to. What no store can take is
// rejected before an index is made for it; what no index can be found for has
// failed.
func (s *Store) groups(ctx context.Context, in input, outcomes []store.Outcome) []*group {
	type day struct {
		kind record.Kind
		day  int64
	}
	var ordered []*group
	byDay, byIndex := map[day]*group{}, map[string]*group{}
	failed := map[day]error{}
	for i := range in.len() {
		kind, instant := in.at(i)
		if err := in.check(i); err != nil {
			outcomes[i] = store.Outcome{Result: store.Rejected, Err: rejected(kind, err.Error())}
			continue
		}
		at := day{kind: kind, day: int64(instant) / dayMicros}
		if err, ok := failed[at]; ok {
			outcomes[i] = store.Outcome{Result: store.Failed, Err: err}
			continue
		}
		g, ok := byDay[at]
		if !ok {
			found, err := s.maker.destinationFor(ctx, at.kind, instant.Time())
			if err != nil {
				failed[at] = explain("append "+string(at.kind), err)
				outcomes[i] = store.Outcome{Result: store.Failed, Err: failed[at]}
				continue
			}
			if g, ok = byIndex[found.index]; !ok {
				g = &group{destination: found, kind: at.kind}
				byIndex[found.index] = g
				ordered = append(ordered, g)
			}
			byDay[at] = g
		}
		g.places = append(g.places, i)
	}
	return ordered
}

// appendGroup encodes and sends the records of one index in bounded parts.
func (s *Store) appendGroup(ctx context.Context, in input, g *group, outcomes []store.Outcome) {
	b := s.newBulk(g, len(g.places))
	for n, place := range g.places {
		if err := b.add(place, in); err != nil {
			outcomes[place] = store.Outcome{Result: store.Rejected, Err: rejected(g.kind, err.Error())}
			continue
		}
		if len(b.body) >= maxBulkBytes || len(b.entries) >= maxBulkRecords {
			s.sendBulk(ctx, b, outcomes)
			b = s.newBulk(g, len(g.places)-n-1)
		}
	}
	s.sendBulk(ctx, b, outcomes)
	s.confirm(ctx, g, outcomes)
}

func rejected(kind record.Kind, why string) error {
	return &store.Error{Reason: store.Invalid, Op: "append " + string(kind), Message: why}
}

// bulk is the body of one bulk request.
type bulk struct {
	index   string
	kind    record.Kind
	body    []byte
	entries []entry
}

// entry is where a record is in a bulk's body: its two lines, and in the second
// the document up to the members that only the index needs.
type entry struct {
	place                int
	id                   record.ID
	start, document      int
	documentEnd, lineEnd int
}

func (s *Store) newBulk(g *group, records int) *bulk {
	records = min(records, maxBulkRecords)
	b := &bulk{index: g.index, kind: g.kind, entries: make([]entry, 0, records)}
	if body, ok := s.bodies.Get().(*[]byte); ok {
		b.body = (*body)[:0]
	}
	return b
}

// reuse keeps the memory of a bulk that was sent once and of which the answer says
// that each record is stored: so the last byte of it was read. After any other
// answer, and after a try that failed, net/http may still be reading.
func (s *Store) reuse(b *bulk) {
	if body := b.body; len(body) <= maxKeptBody {
		b.body = nil
		s.bodies.Put(&body)
	}
}

// makeRoom guesses by the first record how long the body becomes: to grow it as
// it fills would copy most of it several times.
func (b *bulk) makeRoom() {
	records := cap(b.entries) - 1
	b.body = slices.Grow(b.body, min(records*len(b.body)*5/4, maxBulkBytes+maxBulkBytes/8))
}

// errBrokenLine means that a record would end its line of the bulk early. One
// that passed record.Normalize can't.
var errBrokenLine = errors.New("the record holds a line break where JSON has none; it was not normalised")

// add writes a record, once.
func (b *bulk) add(place int, in input) error {
	id := in.id(place)
	e := entry{place: place, id: id, start: len(b.body)}
	b.body = append(b.body, `{"create":{"_id":"`...)
	b.body = record.AppendID(b.body, id)
	b.body = append(b.body, "\"}}\n"...)
	e.document = len(b.body)
	body, words := in.document(b.body, place)
	e.documentEnd = len(body) - 1
	high, low := id.Halves()
	b.body = appendIndexed(body[:e.documentEnd], words, high, low)
	if bytes.IndexByte(b.body[e.document:], '\n') >= 0 {
		b.body = b.body[:e.start]
		return errBrokenLine
	}
	b.body = append(b.body, '\n')
	e.lineEnd = len(b.body)
	b.entries = append(b.entries, e)
	if len(b.entries) == 1 {
		b.makeRoom()
	}
	return nil
}

// stored is the document of an entry as readers get it.
func (b *bulk) stored(e entry) []byte {
	document := make([]byte, 0, e.documentEnd-e.document+1)
	return append(append(document, b.body[e.document:e.documentEnd]...), '}')
}

// only returns a bulk of some of the entries.
func (b *bulk) only(entries []entry) *bulk {
	part := &bulk{index: b.index, kind: b.kind, entries: make([]entry, 0, len(entries))}
	for _, e := range entries {
		shift := len(part.body) - e.start
		part.body = append(part.body, b.body[e.start:e.lineEnd]...)
		e.start, e.document = e.start+shift, e.document+shift
		e.documentEnd, e.lineEnd = e.documentEnd+shift, e.lineEnd+shift
		part.entries = append(part.entries, e)
	}
	return part
}
