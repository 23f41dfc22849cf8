// Package entry is the form of one record in the spool.
//
// An entry is, in this order: the format's number (1 byte, 1), the kind of the
// record (1 byte), its id (16 bytes), its time and the time of its receipt (8
// bytes each, microseconds since 1970, big-endian), the source, the number of
// words and the words, and the document. Texts have their length before them as
// an unsigned varint. The spool adds a checksum, so that what is read here was
// written here.
package entry

import (
	"encoding/binary"
	"errors"
	"fmt"

	"auditquery.dev/auditquery/internal/record"
)

const (
	format = 1
	// fixed is what every entry has before its texts.
	fixed = 2 + 16 + 8 + 8

	kindAudit     = 1
	kindAuthAudit = 2
)

// Entry is a record on its way into the store.
type Entry struct {
	// Source names the sender in metrics and dead letters: one of few, as
	// "kubernetes/prod".
	Source string
	// Received is when the record arrived.
	Received record.Timestamp
	// Record is ready to be stored.
	Record record.Prepared
}

// errMalformed is wrapped with what is wrong. Of an entry whose checksum is right
// it means that another version wrote it.
var errMalformed = errors.New("malformed entry of the spool")

// Append appends the entry's bytes to b.
func Append(b []byte, e *Entry) []byte {
	kind := byte(kindAudit)
	if e.Record.Kind == record.KindAuthAudit {
		kind = kindAuthAudit
	}
	b = append(b, format, kind)
	b = append(b, e.Record.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Record.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Received))
	b = appendText(b, e.Source)
	b = binary.AppendUvarint(b, uint64(len(e.Record.Words)))
	for _, word := range e.Record.Words {
		b = appendText(b, word)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Record.Document)))
	return append(b, e.Record.Document...)
}

func appendText(b []byte, text string) []byte {
	b = binary.AppendUvarint(b, uint64(len(text)))
	return append(b, text...)
}

// Parse reads what Append wrote. The entry's document shares memory with data.
func Parse(data []byte) (Entry, error) {
	var e Entry
	if len(data) < fixed {
		return e, fmt.Errorf("%w: it is too short", errMalformed)
	}
	if data[0] != format {
		return e, fmt.Errorf("%w: its format is %d, not %d", errMalformed, data[0], format)
	}
	switch data[1] {
	case kindAudit:
		e.Record.Kind = record.KindAudit
	case kindAuthAudit:
		e.Record.Kind = record.KindAuthAudit
	default:
		return e, fmt.Errorf("%w: %d is no kind of record", errMalformed, data[1])
	}
	copy(e.Record.ID[:], data[2:18])
	e.Record.Time = record.Timestamp(binary.BigEndian.Uint64(data[18:26]))
	e.Received = record.Timestamp(binary.BigEndian.Uint64(data[26:34]))
	r := reader{rest: data[fixed:]}
	e.Source = string(r.text())
	count := r.number()
	if count > record.MaxWords {
		return e, fmt.Errorf("%w: it has %d words", errMalformed, count)
	}
	e.Record.Words = r.words(int(count))
	e.Record.Document = r.text()
	if r.broken || len(r.rest) > 0 {
		return e, fmt.Errorf("%w: its lengths do not fit", errMalformed)
	}
	return e, nil
}

// reader takes texts from the front of rest until something does not fit.
type reader struct {
	rest   []byte
	broken bool
}

// words reads so many texts, which share one string: to allocate each would cost
// more than all else here.
func (r *reader) words(count int) []string {
	begin := r.rest
	var ends [record.MaxWords][2]int
	for i := range count {
		word := r.text()
		if r.broken {
			return nil
		}
		end := len(begin) - len(r.rest)
		ends[i] = [2]int{end - len(word), end}
	}
	all := string(begin[:len(begin)-len(r.rest)])
	words := make([]string, count)
	for i := range words {
		words[i] = all[ends[i][0]:ends[i][1]]
	}
	return words
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return nil
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n:]
	return text
}
