package elasticsearch

import (
	"auditquery.dev/auditquery/internal/record"
)

// input is what one call appends, by places in it: records, which are encoded
// into the body of a bulk, or prepared ones, which are copied into it.
type input interface {
	len() int
	// check returns why no store can take the record at a place.
	check(place int) error
	at(place int) (record.Kind, record.Timestamp)
	id(place int) record.ID
	// document appends the document of a record to b, and returns its words,
	// which are valid until the next call.
	document(b []byte, place int) ([]byte, []string)
}

type plainInput struct {
	records []record.Record
	// words is room for those of one record.
	words []string
}

func (in *plainInput) len() int { return len(in.records) }

func (in *plainInput) check(int) error { return nil }

func (in *plainInput) at(place int) (record.Kind, record.Timestamp) {
	r := in.records[place]
	return r.Kind(), r.Base().Time
}

func (in *plainInput) id(place int) record.ID { return in.records[place].Base().ID }

func (in *plainInput) document(b []byte, place int) ([]byte, []string) {
	r := in.records[place]
	in.words = record.AppendWords(in.words, r)
	return record.AppendDocument(b, r), in.words
}

type preparedInput []record.Prepared

func (in preparedInput) len() int { return len(in) }

func (in preparedInput) check(place int) error { return in[place].Check() }

func (in preparedInput) at(place int) (record.Kind, record.Timestamp) {
	return in[place].Kind, in[place].Time
}

func (in preparedInput) id(place int) record.ID { return in[place].ID }

func (in preparedInput) document(b []byte, place int) ([]byte, []string) {
	return append(b, in[place].Document...), in[place].Words
}
