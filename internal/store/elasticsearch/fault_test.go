package elasticsearch

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	newerDocument = `{"id":"00000000000000000000000000000002","time":"2026-11-02T00:00:00.000002Z","details":{"words":["\"}]"],"a":"\\"}}`
	olderDocument = `{"id":"00000000000000000000000000000001","time":"2026-11-01T00:00:00.000001Z"}`
)

func allAudits(limit int) query.Query {
	return query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: limit}
}

func TestFaultsOfASearch(t *testing.T) {
	whole := page(stored(newerDocument), stored(olderDocument))
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	refusedDial := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	cases := map[string]struct {
		reactions []reaction
		// wantReason is 0 where the page is to be whole.
		wantReason   store.Reason
		wantSearches int
	}{
		"a whole answer":                {[]reaction{{body: whole}}, 0, 1},
		"429, then an answer":           {[]reaction{{status: 429}, {body: whole}}, 0, 2},
		"503, then an answer":           {[]reaction{{status: 503}, {body: whole}}, 0, 2},
		"503 for ever":                  {[]reaction{{status: 503}}, store.Unavailable, 1 + DefaultMaxRetries},
		"500":                           {[]reaction{{status: 500}}, store.Unavailable, 1},
		"refused, then an answer":       {[]reaction{{err: refusedDial}, {body: whole}}, 0, 2},
		"refused for ever":              {[]reaction{{err: refusedDial}}, store.Unavailable, 1 + DefaultMaxRetries},
		"reset in the middle of a body": {[]reaction{{body: whole[:100], cut: reset}, {body: whole}}, 0, 2},
		"ended in the middle of a body": {[]reaction{{body: whole[:100], cut: io.ErrUnexpectedEOF}}, store.Unavailable, 1 + DefaultMaxRetries},
		"a body without its last brace": {[]reaction{{body: whole[:len(whole)-1]}}, store.Unavailable, 1},
		"a body with something behind":  {[]reaction{{body: whole + "}"}}, store.Unavailable, 1},
		"an empty body":                 {[]reaction{{}}, store.Unavailable, 1},
		"a proxy's page":                {[]reaction{{body: "<html>all is well</html>"}}, store.Unavailable, 1},
		"JSON that is not an answer":    {[]reaction{{body: `{}`}}, store.Unavailable, 1},
		"another product":               {[]reaction{{body: whole, header: map[string]string{"X-Elastic-Product": "Other"}}}, store.Conflict, 1},
		"a search that timed out":       {[]reaction{{body: strings.Replace(whole, `"timed_out":false`, `"timed_out":true`, 1)}}, store.Timeout, 1},
		"a shard that failed":           {[]reaction{{body: strings.Replace(whole, `"failed":0`, `"failed":1`, 1)}}, store.Unavailable, 1},
		"a shard that is not counted":   {[]reaction{{body: strings.Replace(whole, `"successful":1`, `"successful":0`, 1)}}, store.Unavailable, 1},
		"fewer shards than there are":   {[]reaction{{body: strings.NewReplacer(`"total":1`, `"total":0`, `"successful":1`, `"successful":0`).Replace(whole)}}, store.Unavailable, 3},
		"a document that is not ours":   {[]reaction{{body: page(newerDocument)}}, store.Conflict, 1},
		"wrong credentials":             {[]reaction{{status: 401, body: `{"error":{"type":"security_exception"}}`}}, store.Unavailable, 1},
		"a role that lacks a privilege": {[]reaction{{status: 403}}, store.Unavailable, 1},
		"a query that is refused":       {[]reaction{{status: 400, body: `{"error":{"type":"x"}}`}}, store.Invalid, 1},
		"a closed index":                {[]reaction{{status: 400, body: `{"error":{"type":"index_closed_exception","index":"x-audit-2026.11"}}`}}, store.Unavailable, 1},
		"an index gone, then found":     {[]reaction{{status: 404, body: `{"error":{"type":"index_not_found_exception","index":"x-audit-2026.11"}}`}, {body: whole}}, 0, 2},
		"an index gone for ever":        {[]reaction{{status: 404, body: `{"error":{"type":"index_not_found_exception","index":"x-audit-2026.11"}}`}}, store.Conflict, 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, f := fakeStore(t, c.reactions...)
			got, err := s.List(t.Context(), allAudits(1))
			if reason := store.ReasonOf(err); reason != c.wantReason {
				t.Fatalf("reason %v, want %v: %v", reason, c.wantReason, err)
			}
			if n := len(f.to("/_search")); n != c.wantSearches {
				t.Errorf("%d searches were sent, want %d", n, c.wantSearches)
			}
			if err != nil {
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells a secret: %v", err)
				}
				return
			}
			next := &query.Position{Micros: date(2026, 11, 2).UnixMicro() + 2, ID: [16]byte{15: 2}}
			if diff := cmp.Diff(store.Page{Documents: [][]byte{[]byte(newerDocument)}, Next: next}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRetriesWaitLongerEachTime(t *testing.T) {
	s, f := fakeStore(t, reaction{status: 503}, reaction{status: 503, header: map[string]string{"Retry-After": "3"}}, reaction{body: page()})
	if _, err := s.List(t.Context(), allAudits(1)); err != nil {
		t.Fatal(err)
	}
	if len(f.slept) != 2 || f.slept[0] < firstBackoff/2 || f.slept[0] > firstBackoff || f.slept[1] < 3*time.Second {
		t.Errorf("waited %v", f.slept)
	}
}

func TestWhatASearchSends(t *testing.T) {
	s, f := fakeStore(t, reaction{body: page()})
	q := allAudits(1)
	q.From, q.To = date(2026, 11, 1), date(2026, 12, 1)
	if _, err := s.List(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	sent := f.to("/_search")[0]
	if want := "/x-audit-2026.11,x-audit-2026.11*/_search"; sent.path != want {
		t.Errorf("path %s, want %s", sent.path, want)
	}
	if want := "allow_partial_search_results=false&expand_wildcards=open%2Cclosed"; sent.query != want {
		t.Errorf("query %s, want %s", sent.query, want)
	}
	if sent.header.Get("Authorization") == "" {
		t.Error("no credentials were sent")
	}
}

func TestOneFailedQuestionLeavesTheOthersWhole(t *testing.T) {
	body := fmt.Sprintf(`{"took":1,"responses":[%s,{"error":{"type":"x"},"status":400},%s]}`,
		strings.Replace(page(stored(newerDocument)), `"hits":{`, `"hits":{"total":{"value":7,"relation":"gte"},`, 1), page())
	s, _ := fakeStore(t, reaction{body: body})
	questions := []store.Question{{Query: allAudits(1), CountAtMost: 7}, {Query: allAudits(1)}, {Query: allAudits(1)}}
	got := s.Search(t.Context(), questions)
	if got[1].Err == nil || got[0].Err != nil || got[2].Err != nil {
		t.Fatalf("errors %v, %v, %v", got[0].Err, got[1].Err, got[2].Err)
	}
	if diff := cmp.Diff(store.Count{Records: 7}, got[0].Count); diff != "" {
		t.Error(diff)
	}
	if len(got[0].Page.Documents) != 1 || len(got[2].Page.Documents) != 0 {
		t.Errorf("pages of %d and %d documents", len(got[0].Page.Documents), len(got[2].Page.Documents))
	}
}

func audit(n int, modify ...func(*record.Audit)) *record.Audit {
	a := &record.Audit{Common: record.Common{ID: record.ID{15: byte(n)}, Time: record.At(date(2026, 11, 3)),
		IngestTime: record.At(date(2026, 11, 4)), UserID: "alice"}}
	for _, m := range modify {
		m(a)
	}
	return a
}

func documentOf(t *testing.T, r record.Record) string {
	t.Helper()
	document, err := record.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

func TestFaultsOfAnAppend(t *testing.T) {
	items := func(items ...string) reaction {
		return reaction{body: `{"errors":true,"items":[` + strings.Join(items, ",") + `]}`}
	}
	item := func(status int, kind string) string {
		return fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":"failed to parse field [user_id] of type [keyword]. Preview: 'private'"}}}`, status, kind)
	}
	created := `{"create":{"status":201}}`
	found := func(r record.Record) reaction {
		return reaction{body: fmt.Sprintf(`{"docs":[{"_index":"x","_id":%q,"found":true,"_source":%s}]}`,
			r.Base().ID, stored(documentOf(t, r)))}
	}
	first, second := audit(1), audit(2)
	later := audit(2, func(a *record.Audit) { a.IngestTime++ })
	other := audit(2, func(a *record.Audit) { a.UserID = "bob" })
	conflict := item(409, kindConflict)
	cases := map[string]struct {
		reactions []reaction
		want      [2]store.Result
		wantErr   store.Reason
	}{
		"both are new":                         {[]reaction{items(created, created)}, [2]store.Result{store.Stored, store.Stored}, 0},
		"one is there":                         {[]reaction{items(created, conflict), found(second)}, [2]store.Result{store.Stored, store.Duplicate}, 0},
		"one is there since earlier":           {[]reaction{items(created, conflict), found(later)}, [2]store.Result{store.Stored, store.Duplicate}, 0},
		"another is there":                     {[]reaction{items(created, conflict), found(other)}, [2]store.Result{store.Stored, store.Collision}, 0},
		"one is there of a try without answer": {[]reaction{{err: io.ErrUnexpectedEOF}, items(created, conflict), found(second)}, [2]store.Result{store.Stored, store.Stored}, 0},
		"one is refused":                       {[]reaction{items(created, item(400, "document_parsing_exception"))}, [2]store.Result{store.Stored, store.Rejected}, 0},
		"one is taken the second time":         {[]reaction{items(item(429, "es_rejected_execution_exception"), created), items(created)}, [2]store.Result{store.Stored, store.Stored}, 0},
		"one is never taken":                   {[]reaction{items(created, item(503, "unavailable_shards_exception")), items(item(503, "x"))}, [2]store.Result{store.Stored, store.Failed}, 0},
		"the index is closed":                  {[]reaction{items(created, item(400, kindIndexClosed))}, [2]store.Result{store.Stored, store.Failed}, 0},
		"an answer for one of two":             {[]reaction{items(created)}, [2]store.Result{store.Failed, store.Failed}, store.Unavailable},
		"too large a body is halved":           {[]reaction{{status: 413}, items(created)}, [2]store.Result{store.Stored, store.Stored}, 0},
		"the role may not write":               {[]reaction{{status: 403}}, [2]store.Result{store.Failed, store.Failed}, store.Unavailable},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, _ := fakeStore(t, c.reactions...)
			outcomes, err := s.Append(t.Context(), []record.Record{first, second})
			if reason := store.ReasonOf(err); reason != c.wantErr {
				t.Fatalf("reason %v, want %v: %v", reason, c.wantErr, err)
			}
			for i, o := range outcomes {
				if o.Result != c.want[i] {
					t.Errorf("record %d was %s (%v), want %s", i, o.Result, o.Err, c.want[i])
				}
				if o.Err != nil && (strings.Contains(o.Err.Error(), "private") || strings.Contains(o.Err.Error(), "secret")) {
					t.Errorf("the error tells a secret: %v", o.Err)
				}
			}
		})
	}
}
