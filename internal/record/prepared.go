package record

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Prepared is a normalised record in the form in which stores write it, for
// whoever keeps records on their way there: what a store asks of a record stands
// beside its document, which nobody has to decode again.
type Prepared struct {
	Kind Kind
	ID   ID
	Time Timestamp
	// Document is what AppendDocument writes: one line of JSON without its end.
	Document []byte
	// Words are those of Words.
	Words []string
}

// Prepare returns the prepared form of a record that passed Normalize and has
// its identity.
func Prepare(r Record) Prepared { return PrepareOver(Prepared{}, r) }

// PrepareOver is Prepare for callers that have many records and are done with one
// when they come to the next: it writes over the document and the words of p.
func PrepareOver(p Prepared, r Record) Prepared {
	base := r.Base()
	if p.Document == nil {
		p.Document = make([]byte, 0, usualDocument+len(base.Details))
		p.Words = make([]string, 0, usualWords)
	}
	return Prepared{Kind: r.Kind(), ID: base.ID, Time: base.Time,
		Document: AppendDocument(p.Document[:0], r), Words: AppendWords(p.Words, r)}
}

// PrepareContent gives a record that has no identity of its own that of its content,
// normalises it and prepares it in p's memory: what Canonical, ContentID, Normalize
// and PrepareOver do one after the other. A record that needs no normalising, as
// nearly all, is written once instead of twice. occurrence says how many records of
// the id that it is given came before. The error is that of Canonical.
func PrepareContent(p Prepared, r Record, ingested time.Time, occurrence func(ID) int) (Prepared, error) {
	base := r.Base()
	if base.Details != nil && !isCanonical(base.Details) {
		canonical, err := Canonical(r)
		if err != nil {
			return p, err
		}
		base.ID = contentID(r.Kind(), canonical, occurrence)
		Normalize(r, ingested)
		return PrepareOver(p, r), nil
	}
	if p.Document == nil {
		p.Document = make([]byte, 0, usualDocument+len(base.Details))
		p.Words = make([]string, 0, usualWords)
	}
	base.ID, base.IngestTime = ID{}, 0
	document := AppendDocument(p.Document[:0], r)
	base.ID = contentID(r.Kind(), document, occurrence)
	if _, same := normalize(r, ingested, true); !same || !putIdentity(document, base) {
		document = AppendDocument(document[:0], r)
	}
	return Prepared{Kind: r.Kind(), ID: base.ID, Time: base.Time, Document: document, Words: AppendWords(p.Words, r)}, nil
}

func contentID(kind Kind, canonical []byte, occurrence func(ID) int) ID {
	id := ContentID(kind, canonical, 0)
	if n := occurrence(id); n > 0 {
		return ContentID(kind, canonical, n)
	}
	return id
}

// putIdentity writes an id and a time of ingest over those of a document, which
// take as many bytes. It returns false, and changes nothing, where they do not.
func putIdentity(document []byte, base *Common) bool {
	var before, after [160]byte
	old := appendHead(before[:0], ID{}, base.Time, 0)
	head := appendHead(after[:0], base.ID, base.Time, base.IngestTime)
	if len(old) != len(head) || !bytes.HasPrefix(document, old) {
		return false
	}
	copy(document, head)
	return true
}

func appendHead(b []byte, id ID, at, ingested Timestamp) []byte {
	b = append(appendIdentity(b, id, at), `,"ingest_time":"`...)
	return append(ingested.append(b), '"')
}

var errNotPrepared = errors.New("the document is not that of the record's id and time, on one line")

// Check looks for what would harm the neighbours of a record whose preparing or
// keeping went wrong: a document that is none, has several lines, or is that of
// another record. It does not read all of the document.
func (p Prepared) Check() error {
	if len(Fields(p.Kind)) == 0 {
		return fmt.Errorf("%q is not a kind of record", p.Kind)
	}
	var room [128]byte
	begin := appendIdentity(room[:0], p.ID, p.Time)
	if p.ID.IsZero() || !bytes.HasPrefix(p.Document, begin) || p.Document[len(p.Document)-1] != '}' ||
		bytes.IndexByte(p.Document, '\n') >= 0 {
		return errNotPrepared
	}
	return nil
}

// Record decodes the document.
func (p Prepared) Record() (Record, error) {
	r := New(p.Kind)
	if r == nil {
		return nil, fmt.Errorf("decode: %q is not a kind of record", p.Kind)
	}
	return r, Decode(p.Document, r)
}
