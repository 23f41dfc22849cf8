package deadletter

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Bounds of a letter.
const (
	// MaxReason is the length at which a reason is cut, in bytes.
	MaxReason = 512
	// MaxSource is the length at which a source is cut, in bytes.
	MaxSource = 256
)

// Letter is something that came in and cannot be stored. One of Document,
// Excerpt and Bytes says what it was.
type Letter struct {
	// ID names the letter in this folder: 12 letters and digits. Put makes it
	// where it is empty. Two letters about the same record for the same cause
	// have the same id: one that was put twice, around a crash.
	ID string `json:"id,omitempty"`
	// Time is when it was put aside.
	Time time.Time `json:"time"`
	// Source says where it came from, such as kubernetes/prod; at most
	// MaxSource bytes.
	Source string `json:"source"`
	// Cause is the class of the reason, as metrics name it.
	Cause Cause `json:"cause"`
	// Reason says why, for an operator; at most MaxReason bytes.
	Reason string `json:"reason"`
	// Kind and RecordID name the record, where there is one.
	Kind     record.Kind `json:"kind,omitempty"`
	RecordID record.ID   `json:"record_id,omitzero"`
	// Document is the whole record, as the store would have kept it: after a
	// collision it is the only evidence.
	Document json.RawMessage `json:"document,omitempty"`
	// Excerpt is what may be kept of an event that gave no record: scrubbed,
	// at most record.MaxExcerptBytes.
	Excerpt json.RawMessage `json:"excerpt,omitempty"`
	// Bytes is what could not be read at all.
	Bytes []byte `json:"bytes,omitempty"`

	// file is the number of the file that it was read from.
	file uint64
}

// Cause is why something became a dead letter.
type Cause string

// The causes of a dead letter.
const (
	// Malformed: it is not an event or a record.
	Malformed Cause = "malformed"
	// TooLarge: it is larger than an event or a record may be.
	TooLarge Cause = "too_large"
	// Collision: a different record with its identity is stored.
	Collision Cause = "collision"
	// Rejected: the store can never accept it.
	Rejected Cause = "rejected"
	// Damaged: its checksum is wrong; the disk has changed it.
	Damaged Cause = "damaged"
	// Unreadable: its checksum is right, but this version cannot read it.
	Unreadable Cause = "unreadable"
)

// Causes returns every cause.
func Causes() []Cause {
	return []Cause{Malformed, TooLarge, Collision, Rejected, Damaged, Unreadable}
}

// Valid tells whether c is one of Causes.
func (c Cause) Valid() bool { return slices.Contains(Causes(), c) }

// OfInput is the letter for an event or record, or the beginning of one, that
// gave no record. An excerpt of raw is kept, scrubbed.
func OfInput(source string, cause Cause, reason string, raw []byte, now time.Time) Letter {
	l := newLetter(source, cause, reason, now)
	l.Excerpt = record.Excerpt(raw)
	return l
}

// OfRecord is the letter for a record that the store will never take: outcome is
// store.Collision or store.Rejected. The document is shared, not copied.
func OfRecord(source string, p record.Prepared, outcome store.Outcome, now time.Time) Letter {
	cause := Rejected
	if outcome.Result == store.Collision {
		cause = Collision
	}
	l := newLetter(source, cause, refusal(outcome.Err), now)
	l.Kind, l.RecordID, l.Document = p.Kind, p.ID, p.Document
	return l
}

// OfBytes is the letter for what is neither an event nor a record any more. The
// bytes are shared, not copied.
func OfBytes(source string, cause Cause, reason string, data []byte, now time.Time) Letter {
	l := newLetter(source, cause, reason, now)
	l.Bytes = data
	return l
}

func newLetter(source string, cause Cause, reason string, now time.Time) Letter {
	return Letter{
		Time: now.UTC().Truncate(time.Microsecond), Source: cut(source, MaxSource), Cause: cause, Reason: cut(reason, MaxReason),
	}
}

// Reason says what a store's failure is, in at most MaxReason bytes and without
// the text of causes, which name addresses.
func Reason(err error) string {
	var failure *store.Error
	switch {
	case err == nil:
		return "the store gives no reason"
	case errors.As(err, &failure):
		return cut(failure.Error(), MaxReason)
	case errors.Is(err, context.DeadlineExceeded):
		return "it took too long"
	case errors.Is(err, context.Canceled):
		return "the request was cancelled"
	default:
		return fmt.Sprintf("unexpected failure (%T)", err)
	}
}

// refusal is the reason of a record's refusal. What was tried, and how it ended,
// is the cause already.
func refusal(err error) string {
	var failure *store.Error
	if errors.As(err, &failure) && failure.Message != "" {
		return failure.Message
	}
	return Reason(err)
}

// errNotWhole is wrapped with why a letter gives no record.
var errNotWhole = errors.New("it cannot be stored again")

// Record reads the letter's record anew: from its document, or from an entry of
// the spool that another version of this program could not read. The error says
// why there is none.
func (l Letter) Record() (record.Record, error) {
	switch {
	case len(l.Document) > 0:
		r, err := record.Prepared{Kind: l.Kind, Document: l.Document}.Record()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotWhole, err)
		}
		return r, nil
	case l.Cause == Unreadable && len(l.Bytes) > 0:
		e, err := entry.Parse(l.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errNotWhole, err)
		}
		return e.Record.Record()
	case len(l.Excerpt) > 0:
		return nil, fmt.Errorf("%w: only an excerpt of it is kept", errNotWhole)
	default:
		return nil, fmt.Errorf("%w: what is left of it is damaged", errNotWhole)
	}
}

// finish makes a letter fit to be written.
func (l Letter) finish() Letter {
	l.Source, l.Reason = cut(l.Source, MaxSource), cut(l.Reason, MaxReason)
	// A letter that JSON refuses could never be put, and what it is about
	// would stay in the spool for ever.
	if len(l.Document) > 0 && !json.Valid(l.Document) {
		l.Bytes, l.Document = l.Document, nil
	}
	if len(l.Excerpt) > 0 && !json.Valid(l.Excerpt) {
		l.Bytes, l.Excerpt = l.Excerpt, nil
	}
	if l.ID == "" {
		l.ID = l.identity()
	}
	return l
}

// identity hashes what the letter is about. The time is part of it only where no
// record is: of two equal malformed events each is a letter.
func (l Letter) identity() string {
	hash := sha256.New()
	part := func(b []byte) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		hash.Write(size[:])
		hash.Write(b)
	}
	for _, text := range []string{string(l.Cause), l.Source, string(l.Kind)} {
		part([]byte(text))
	}
	part(l.RecordID[:])
	part(l.Document)
	part(l.Excerpt)
	part(l.Bytes)
	if len(l.Excerpt) > 0 {
		part([]byte(l.Reason))
		part([]byte(l.Time.Format(time.RFC3339Nano)))
	}
	return shortened(hash.Sum(nil))
}

const idLength = 12

// shortened gives 60 bits of a hash in letters and digits.
func shortened(sum []byte) string {
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum)[:idLength])
}

// encode returns the letter as one line of JSON without its end.
func (l Letter) encode() ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // a document stays as it is
	if err := encoder.Encode(l); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// cut returns at most limit bytes of text, as valid UTF-8.
func cut(text string, limit int) string {
	if len(text) > limit {
		for limit > 0 && !utf8.RuneStart(text[limit]) {
			limit--
		}
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "?")
}
