package store_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

var issued = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func validCursor(change func(*store.Cursor)) store.Cursor {
	c := store.Cursor{
		Kind: record.KindAudit, Scope: "namespace/shop",
		From: issued.Add(-time.Hour), To: issued,
		Filter:    query.And{query.Equal{Field: "user_id", Value: "alice"}},
		Selectors: []byte{1, 2, 3},
		After:     query.Position{Micros: 1 << 60, ID: [16]byte{0xff, 1}},
		Rows:      500, Issued: issued,
	}
	change(&c)
	return c
}

func newCursors(t *testing.T, key byte, now time.Time) *store.Cursors {
	t.Helper()
	cursors, err := store.NewCursors(bytes.Repeat([]byte{key}, store.CursorKeyBytes), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	return cursors
}

func encode(t *testing.T, cursors *store.Cursors, c store.Cursor) string {
	t.Helper()
	token, err := cursors.Encode(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestCursorsReadWhatTheyWrote(t *testing.T) {
	tests := map[string]func(*store.Cursor){
		"everything set":         func(*store.Cursor) {},
		"an open window":         func(c *store.Cursor) { c.From, c.To = time.Time{}, time.Time{} },
		"a window from 1970":     func(c *store.Cursor) { c.From = time.Unix(0, 0).UTC() },
		"no filter":              func(c *store.Cursor) { c.Filter = nil },
		"a position before 1970": func(c *store.Cursor) { c.After.Micros = -5 },
		"text of any kind": func(c *store.Cursor) {
			c.Filter = query.Or{query.Equal{Field: "user_id", Value: "a\x00\"\\é\U0001F600<>&"}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			want := validCursor(change)
			// Another replica has the same key; the token also outlives a restart.
			got, err := newCursors(t, 1, issued.Add(time.Minute)).Decode(encode(t, newCursors(t, 1, issued), want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestCursorsRefuse(t *testing.T) {
	valid := validCursor(func(*store.Cursor) {})
	token := encode(t, newCursors(t, 1, issued), valid)
	tests := map[string]struct {
		token string
		key   byte
		now   time.Time
		want  store.Reason
	}{
		"a token of another key":     {token: token, key: 2, now: issued, want: store.Invalid},
		"a token older than a day":   {token: token, key: 1, now: issued.Add(24*time.Hour + 1), want: store.Expired},
		"an empty token":             {token: "", key: 1, now: issued, want: store.Invalid},
		"what is not base64":         {token: "!" + token, key: 1, now: issued, want: store.Invalid},
		"a token with a line break":  {token: token[:8] + "\n" + token[8:], key: 1, now: issued, want: store.Invalid},
		"a shortened token":          {token: token[:len(token)-4], key: 1, now: issued, want: store.Invalid},
		"a token longer than any":    {token: strings.Repeat("A", 20_000), key: 1, now: issued, want: store.Invalid},
		"the signature alone":        {token: token[len(token)-43:], key: 1, now: issued, want: store.Invalid},
		"a payload signed by no one": {token: unsigned(t, token), key: 1, now: issued, want: store.Invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newCursors(t, test.key, test.now).Decode(test.token)
			if got := store.ReasonOf(err); got != test.want {
				t.Errorf("error %v has reason %v, want %v", err, got, test.want)
			}
		})
	}
	if _, err := newCursors(t, 1, issued.Add(24*time.Hour)).Decode(token); err != nil {
		t.Errorf("a token of exactly a day is refused: %v", err)
	}
}

func TestNoChangedBitIsAccepted(t *testing.T) {
	cursors := newCursors(t, 1, issued)
	token, err := base64.RawURLEncoding.DecodeString(encode(t, cursors, validCursor(func(*store.Cursor) {})))
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(token) * 8 {
		changed := bytes.Clone(token)
		changed[bit/8] ^= 1 << (bit % 8)
		if _, err := cursors.Decode(base64.RawURLEncoding.EncodeToString(changed)); !store.IsInvalid(err) {
			t.Fatalf("bit %d changed: error %v, want Invalid", bit, err)
		}
	}
}

func TestACursorNeverWidensScope(t *testing.T) {
	c := validCursor(func(*store.Cursor) {})
	own := query.Scope{Name: "namespace/shop", Restrict: query.Or{}}
	tests := map[string]struct {
		kind  record.Kind
		scope query.Scope
		want  store.Reason
	}{
		"the same list":     {kind: record.KindAudit, scope: own},
		"another kind":      {kind: record.KindAuthAudit, scope: own, want: store.Invalid},
		"another namespace": {kind: record.KindAudit, scope: query.Scope{Name: "namespace/bank", Restrict: query.Or{}}, want: store.Invalid},
		"the whole cluster": {kind: record.KindAudit, scope: query.All(), want: store.Invalid},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := c.Query(test.kind, test.scope, 10)
			if got := store.ReasonOf(err); got != test.want {
				t.Fatalf("error %v, want reason %v", err, test.want)
			}
			if err == nil && (!cmp.Equal(q.Scope, own) || *q.After != c.After || !q.From.Equal(c.From)) {
				t.Errorf("the next page asks %+v", q)
			}
		})
	}
}

func TestALargeFilterHasNoCursor(t *testing.T) {
	cursors := newCursors(t, 1, issued)
	filter := func(size int) query.Filter {
		overhead := len(`{"eq":["user_id",""]}`)
		return query.Equal{Field: "user_id", Value: strings.Repeat("a", size-overhead)}
	}
	if _, err := cursors.Encode(validCursor(func(c *store.Cursor) { c.Filter = filter(4 << 10) })); err != nil {
		t.Errorf("a filter of 4 KiB: %v", err)
	}
	_, err := cursors.Encode(validCursor(func(c *store.Cursor) { c.Filter = filter(4<<10 + 1) }))
	if !errors.Is(err, store.ErrFilterTooLarge) {
		t.Errorf("a byte more: %v, want ErrFilterTooLarge", err)
	}
}

func TestAShortKeyIsRefused(t *testing.T) {
	if _, err := store.NewCursors(make([]byte, 31), time.Now); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
}

func unsigned(t *testing.T, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(append(raw[:len(raw)-32], make([]byte, 32)...))
}

func ExampleError() {
	err := fmt.Errorf("run: %w", &store.Error{
		Reason: store.Unavailable, Op: "list Audit", Message: "Elasticsearch does not answer",
		Err: errors.New("dial https://user:secret@es:9200"),
	})
	fmt.Println(err, store.IsUnavailable(err))
	// Output: run: list Audit: unavailable: Elasticsearch does not answer true
}
