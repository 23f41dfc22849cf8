package record

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Encode writes r as the JSON that stores keep and REST serves: fields in a
// fixed order, absent ones left out.
func Encode(r Record) ([]byte, error) {
	data, err := json.Marshal(r, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("encode %s %s: %w", r.Kind(), r.Base().ID, err)
	}
	return data, nil
}

// Decode reads what Encode wrote into r. Unknown members are ignored: a newer
// version may have written them.
func Decode(data []byte, r Record) error {
	if err := json.Unmarshal(data, r, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err != nil {
		return fmt.Errorf("decode %s: %w", r.Kind(), err)
	}
	return nil
}

// DecodeAll decodes a page of documents of one kind.
func DecodeAll(kind Kind, documents [][]byte) ([]Record, error) {
	switch kind {
	case KindAudit:
		return decodeAll[Audit](documents)
	case KindAuthAudit:
		return decodeAll[AuthAudit](documents)
	default:
		return nil, fmt.Errorf("decode: %q is not a kind of record", kind)
	}
}

// decodeAll allocates the records of a page together.
func decodeAll[T any, P interface {
	*T
	Record
}](documents [][]byte) ([]Record, error) {
	page := make([]T, len(documents))
	records := make([]Record, len(documents))
	for i, document := range documents {
		r := P(&page[i])
		if err := Decode(document, r); err != nil {
			return nil, err
		}
		records[i] = r
	}
	return records, nil
}

// Canonical is r's content as it identifies a record that has no other
// identity: everything but its id and the time of ingest.
func Canonical(r Record) ([]byte, error) {
	base := r.Base()
	id, ingested := base.ID, base.IngestTime
	base.ID, base.IngestTime = ID{}, 0
	defer func() { base.ID, base.IngestTime = id, ingested }()
	if base.Details == nil || isCanonical(base.Details) {
		return AppendDocument(make([]byte, 0, usualDocument+len(base.Details)), r), nil
	}
	return Encode(r)
}

// SameContent tells whether two stored documents of one kind differ in nothing
// but the time of ingest. False for a pair with the same id is a collision.
// Where Normalize replaced the time by that of the ingest, the original counts:
// a sender with a wrong clock may send twice like any other.
func SameContent(kind Kind, a, b []byte) (bool, error) {
	canonicalA, err := recode(kind, a)
	if err != nil {
		return false, err
	}
	canonicalB, err := recode(kind, b)
	if err != nil {
		return false, err
	}
	return bytes.Equal(canonicalA, canonicalB), nil
}

func recode(kind Kind, document []byte) ([]byte, error) {
	r := New(kind)
	if r == nil {
		return nil, fmt.Errorf("compare: %q is not a kind of record", kind)
	}
	if err := Decode(document, r); err != nil {
		return nil, err
	}
	if base := r.Base(); hasOriginalTime(base.Details) {
		base.Time = 0
	}
	return Canonical(r)
}
