package store

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// Bounds of cursors.
const (
	// MaxCursorAge is how long a cursor is honoured after its list began.
	MaxCursorAge = 24 * time.Hour
	// MaxCursorFilter is the most bytes that a filter may take in a cursor.
	MaxCursorFilter = 4 << 10
	// CursorKeyBytes is the length of a signing key.
	CursorKeyBytes = 32

	maxCursorBytes = 16 << 10
	cursorVersion  = 1
	// cursorDomain separates our signatures from others made with the key.
	cursorDomain = "auditquery.dev/cursor\n"
)

// ErrFilterTooLarge means that a list cannot be continued because its filter
// does not fit into a cursor. The page that was read is good.
var ErrFilterTooLarge = errors.New("the filter is larger than 4 KiB, so the list cannot be continued; narrow the time window instead")

// Cursor says where a list goes on. It says nothing of what its bearer may see:
// the scope is resolved anew for each page and only compared.
type Cursor struct {
	Kind  record.Kind
	Scope string
	// From and To are the window as it was resolved for the first page.
	From, To time.Time
	Filter   query.Filter
	// Selectors is the caller's digest of the selectors as they were given,
	// to refuse a page that asks for others; nil when there is none.
	Selectors []byte
	After     query.Position
	// Rows is how many records the pages so far have returned.
	Rows int
	// Issued is when the list began.
	Issued time.Time
}

// Query returns the query for the next page: the cursor's, in the scope that
// was resolved for this request. A cursor of another kind or scope is Invalid.
func (c Cursor) Query(kind record.Kind, scope query.Scope, limit int) (query.Query, error) {
	if c.Kind != kind {
		return query.Query{}, cursorError(Invalid, fmt.Sprintf("it belongs to a list of %s records", c.Kind), nil)
	}
	if c.Scope != scope.Name {
		return query.Query{}, cursorError(Invalid, "it belongs to a list of another namespace", nil)
	}
	after := c.After
	return query.Query{
		Kind: kind, Scope: scope, From: c.From, To: c.To, Filter: c.Filter, Limit: limit, After: &after,
	}, nil
}

// Cursors signs and reads cursors. The key is shared by every process that
// serves the same records, so that a cursor works on each and after a restart.
type Cursors struct {
	key []byte
	now func() time.Time
}

// NewCursors returns a codec that signs with key, CursorKeyBytes or more long.
func NewCursors(key []byte, now func() time.Time) (*Cursors, error) {
	if len(key) < CursorKeyBytes {
		return nil, fmt.Errorf("a cursor key has at least %d bytes, this one has %d", CursorKeyBytes, len(key))
	}
	return &Cursors{key: bytes.Clone(key), now: now}, nil
}

type cursorWire struct {
	Kind      record.Kind     `json:"k"`
	Scope     string          `json:"s"`
	From      int64           `json:"f"`
	To        int64           `json:"t"`
	Filter    json.RawMessage `json:"q,omitempty"`
	Selectors []byte          `json:"d,omitempty"`
	Micros    int64           `json:"m"`
	ID        record.ID       `json:"i"`
	Rows      int             `json:"n,omitempty"`
	Issued    int64           `json:"u"`
}

// Encode signs a cursor. A zero Issued is now. The error is ErrFilterTooLarge.
func (s *Cursors) Encode(c Cursor) (string, error) {
	filter, err := query.MarshalFilter(c.Filter)
	if err != nil {
		return "", fmt.Errorf("cursor: %w", err)
	}
	if len(filter) > MaxCursorFilter {
		return "", ErrFilterTooLarge
	}
	if c.Issued.IsZero() {
		c.Issued = s.now()
	}
	payload, err := json.Marshal(cursorWire{
		Kind: c.Kind, Scope: c.Scope, From: micros(c.From), To: micros(c.To), Filter: filter,
		Selectors: c.Selectors, Micros: c.After.Micros, ID: c.After.ID, Rows: c.Rows, Issued: micros(c.Issued),
	})
	if err != nil {
		return "", fmt.Errorf("cursor: %w", err)
	}
	token := append([]byte{cursorVersion}, payload...)
	return base64.RawURLEncoding.EncodeToString(append(token, s.sign(token)...)), nil
}

// Decode checks and reads a cursor. The error is an *Error: Invalid for one
// that we did not sign as it is, Expired for one that is too old.
func (s *Cursors) Decode(text string) (Cursor, error) {
	if len(text) > maxCursorBytes {
		return Cursor{}, cursorError(Invalid, "it is too long", nil)
	}
	// The decoder passes over line breaks; a token has one form only.
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) < 1+sha256.Size || strings.ContainsAny(text, "\r\n") {
		return Cursor{}, cursorError(Invalid, "it is not one that this server made", err)
	}
	signed, signature := token[:len(token)-sha256.Size], token[len(token)-sha256.Size:]
	if !hmac.Equal(signature, s.sign(signed)) {
		return Cursor{}, cursorError(Invalid, "it is not one that this server made, or it was changed", nil)
	}
	if signed[0] != cursorVersion {
		return Cursor{}, cursorError(Expired, "it is of another version of this server; begin the list anew", nil)
	}
	c, err := readCursor(signed[1:])
	if err != nil {
		return Cursor{}, cursorError(Invalid, "it cannot be read", err)
	}
	if age := s.now().Sub(c.Issued); age > MaxCursorAge {
		return Cursor{}, cursorError(Expired, "its list began more than 24 hours ago; begin the list anew", nil)
	}
	return c, nil
}

func readCursor(payload []byte) (Cursor, error) {
	var w cursorWire
	if err := json.Unmarshal(payload, &w); err != nil {
		return Cursor{}, err
	}
	filter, err := query.UnmarshalFilter(w.Filter)
	if err != nil {
		return Cursor{}, err
	}
	return Cursor{
		Kind: w.Kind, Scope: w.Scope, From: instant(w.From), To: instant(w.To), Filter: filter, Selectors: w.Selectors,
		After: query.Position{Micros: w.Micros, ID: w.ID}, Rows: w.Rows, Issued: instant(w.Issued),
	}, nil
}

func (s *Cursors) sign(token []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(cursorDomain))
	mac.Write(token)
	return mac.Sum(nil)
}

func cursorError(reason Reason, message string, cause error) error {
	return &Error{Reason: reason, Op: "continue", Message: "the continue token is refused: " + message, Err: cause}
}

// openEnd stands for an absent bound: 0 is 1970, which a window may begin at.
const openEnd = -1 << 63

func micros(t time.Time) int64 {
	if t.IsZero() {
		return openEnd
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == openEnd {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
