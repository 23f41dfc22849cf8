package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/wait"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// fillSeptember stores records 0 to count-1.
func fillSeptember(t *testing.T, p *place, s *Store, count int) {
	t.Helper()
	records := make([]record.Record, 0, count)
	for n := range count {
		records = append(records, inSeptember(n))
	}
	mustAppend(t, s, records...)
	p.mustRefresh()
}

// TestWhatIsNotOursIsNeverTouched puts indices beside ours that have names, or
// all, of ours, but that the state does not name.
func TestWhatIsNotOursIsNeverTouched(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	mustAppend(t, s, inMonth(9))
	foreign, unnamed := p.prefix+"-audit-2026.08", p.prefix+"-audit-2026.07"
	p.do(http.MethodPut, "/"+foreign, `{"mappings":{"properties":{"time":{"type":"date_nanos"}}}}`)
	body, err := encodeBody(indexOf(record.KindAudit, Options{Shards: 1, RefreshInterval: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	p.do(http.MethodPut, "/"+unnamed, string(body))
	document := stored(documentOf(t, inMonth(8)))
	for _, index := range []string{foreign, unnamed} {
		p.do(http.MethodPut, "/"+index+"/_doc/"+inMonth(8).ID.String()+"?refresh=true", document)
	}
	for _, s := range []*Store{s, p.open()} {
		stretches, err := s.Stretches(t.Context(), record.KindAudit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{p.september()}, namesOf(stretches)); diff != "" {
			t.Errorf("stretches (-want +got):\n%s", diff)
		}
		for _, index := range []string{foreign, unnamed, p.prefix + "-state", p.prefix + "-audit-*", "_all"} {
			if _, err := s.EraseStretch(t.Context(), record.KindAudit, index, nil); !store.IsNotFound(err) {
				t.Errorf("%s: error %v, want NotFound", index, err)
			}
		}
		if _, err := eraseEvery(t, s, allAudits(1)); err != nil {
			t.Errorf("erase beside them: %v", err)
		}
	}
	for _, index := range []string{foreign, unnamed} {
		if found := p.do(http.MethodGet, "/"+index+"/_count", ""); !strings.Contains(found, `"count":1`) {
			t.Errorf("%s lost its document: %s", index, found)
		}
	}
}

// TestAnIndexOfOursThatIsAnother refuses what somebody put into an index's place.
func TestAnIndexOfOursThatIsAnother(t *testing.T) {
	p := newPlace(t)
	mustAppend(t, p.open(), inMonth(9))
	p.do(http.MethodDelete, "/"+p.september(), "")
	_, err := p.open().Stretches(t.Context(), record.KindAudit)
	mustRefuse(t, err, store.Conflict, p.september())
	p.do(http.MethodPut, "/"+p.september(), `{"mappings":{"_meta":{"layout":1,"kind":"AuthAudit"},"properties":{"time":{"type":"date_nanos"}}}}`)
	s := p.open()
	_, err = s.EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
	mustRefuse(t, err, store.Conflict, p.september())
	_, err = s.Erase(t.Context(), allAudits(1))
	mustRefuse(t, err, store.Conflict, p.september())
	p.do(http.MethodGet, "/"+p.september()+"/_count", "")
}

// TestBlocksOfOthers: an index that an operator, or a full disk, made read-only
// is not erased, and not made writable.
func TestBlocksOfOthers(t *testing.T) {
	for _, block := range []string{"write", "read_only_allow_delete", "read_only"} {
		t.Run(block, func(t *testing.T) {
			p := newPlace(t)
			s := p.open(func(o *Options) { o.MaxRetries = -1 })
			fillSeptember(t, p, s, 5)
			set := func(value string) {
				p.do(http.MethodPut, "/"+p.september()+"/_settings", fmt.Sprintf(`{"index.blocks.%s":%s}`, block, value))
			}
			set("true")
			t.Cleanup(func() { // else the index can't be deleted
				_, err := p.cluster.Do(context.Background(), http.MethodPut, "/"+p.prefix+"-audit-*/_settings", []byte(`{"index.blocks.`+block+`":null}`))
				if err != nil {
					t.Log(err)
				}
			})
			_, err := s.EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
			mustRefuse(t, err, store.Unavailable, p.september())
			_, err = eraseEvery(t, s, allAudits(1))
			mustRefuse(t, err, store.Unavailable, "index.blocks")
			outcomes, _ := s.Append(t.Context(), []record.Record{inSeptember(9)})
			if o := outcomes[0]; o.Result != store.Failed || !store.IsUnavailable(o.Err) {
				t.Errorf("a record was %s: %v, want failed and Unavailable", o.Result, o.Err)
			}
			mustList(t, s, allAudits(10), 5)
			set("null")
			if got, err := s.EraseStretch(t.Context(), record.KindAudit, p.september(), nil); err != nil || got.Records != 5 {
				t.Errorf("without the block %+v was erased: %v", got, err)
			}
		})
	}
}

func TestAnIndexThatIsNotOverIsNotErasedAtOnce(t *testing.T) {
	p := newPlace(t)
	for name, c := range map[string]struct {
		now        time.Time
		wantReason store.Reason
	}{
		"in the month":        {date(2026, 9, 20), store.Invalid},
		"just after it":       {date(2026, 10, 1).Add(settled - 1), store.Invalid},
		"an hour after it":    {date(2026, 10, 1).Add(settled), 0},
		"of a year that came": {date(2025, 9, 20), store.Invalid},
	} {
		s := p.open(func(o *Options) { o.Clock = func() time.Time { return c.now } })
		appendEventually(t, s, inMonth(9))
		_, err := s.EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
		if reason := store.ReasonOf(err); reason != c.wantReason {
			t.Errorf("%s: %v, want %v", name, err, c.wantReason)
		}
	}
}

// TestAPointInTimeThatIsGone goes on with another, also when an index of it was
// erased meanwhile.
func TestAPointInTimeThatIsGone(t *testing.T) {
	gone := map[string]func(p *place, e *erasure){
		"it expired": func(p *place, e *erasure) {
			p.do(http.MethodDelete, "/_pit", `{"id":"`+e.point.id+`"}`)
		},
		"the index was erased": func(p *place, _ *erasure) {
			if _, err := p.open().EraseStretch(p.t.Context(), record.KindAudit, p.september(), nil); err != nil {
				p.t.Fatal(err)
			}
		},
	}
	for name, lose := range gone {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := p.open()
			fillSeptember(t, p, s, 50)
			mustAppend(t, s, inMonth(10))
			opened, err := s.Erase(t.Context(), allAudits(1))
			if err != nil {
				t.Fatal(err)
			}
			e := opened.(*erasure)
			if erased, err := e.Next(t.Context(), 7); err != nil || erased != 7 {
				t.Fatalf("erased %d: %v", erased, err)
			}
			<-e.ahead.done
			lose(p, e)
			for err == nil || store.IsUnavailable(err) {
				if _, err = e.Next(t.Context(), 7); store.IsUnavailable(err) {
					// What was found of an index is not there to be deleted.
					if opened, err = s.Erase(t.Context(), allAudits(1)); err != nil {
						t.Fatal(err)
					}
					e = opened.(*erasure)
				}
			}
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
			p.mustRefresh()
			mustList(t, p.open(), allAudits(10), 0)
		})
	}
}

// TestErasuresLeaveNoPointOpen counts what Elasticsearch keeps for us.
func TestErasuresLeaveNoPointOpen(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	fillSeptember(t, p, s, 30)
	mustAppend(t, s, inMonth(10), inMonth(8))
	if erased, err := eraseEvery(t, s, ofMonths(9, 10)); err != nil || erased != 30 {
		t.Fatalf("erased %d: %v", erased, err)
	}
	given, err := s.Erase(t.Context(), allAudits(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := given.Next(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := given.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var stats struct {
		All struct {
			Total struct {
				Search struct {
					Open int `json:"open_contexts"`
				} `json:"search"`
			} `json:"total"`
		} `json:"_all"`
	}
	if err := json.Unmarshal([]byte(p.do(http.MethodGet, "/"+p.prefix+"-audit-*/_stats/search", "")), &stats); err != nil {
		t.Fatal(err)
	}
	if stats.All.Total.Search.Open != 0 {
		t.Errorf("%d points in time are open", stats.All.Total.Search.Open)
	}
}

func TestReclaimMergesWhatIsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes Elasticsearch half a minute to let go of what was deleted")
	}
	p := newPlace(t)
	s := p.open(func(o *Options) { o.Clock = func() time.Time { return date(2026, 10, 20) } })
	fillSeptember(t, p, s, 200)
	for n := range 50 {
		mustAppend(t, s, audit(1, func(a *record.Audit) {
			a.ID = record.BulkID(record.KindAudit, "now", fmt.Sprint(n), time.Time{})
			a.Time = record.At(date(2026, 10, 2))
		}))
	}
	for index, to := range map[string]time.Time{"2026.09": date(2026, 9, 1).Add(time.Minute), "2026.10": date(2026, 11, 1)} {
		q := query.Query{Kind: record.KindAudit, Scope: query.All(), From: to.AddDate(0, -1, 0), To: to}
		if erased, err := eraseEvery(t, s, q); err != nil || erased < 50 {
			t.Fatalf("%s: erased %d: %v", index, erased, err)
		}
	}
	old, now := p.september(), p.prefix+"-audit-2026.10"
	before := docsOf(t, p, s)
	if before[old].Primaries.Docs.Deleted == 0 || before[now].Primaries.Docs.Deleted == 0 {
		t.Fatalf("nothing is deleted: %+v", before)
	}
	const interval, patience = time.Second / 4, 3 * time.Minute
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(ctx context.Context) (bool, error) {
		return docsOf(t, p, s)[old].Primaries.Docs.Deleted == 0, s.Reclaim(ctx)
	})
	if err != nil {
		t.Fatalf("the month that is over is not merged: %v; it is %+v", err, docsOf(t, p, s)[old])
	}
	if diff := cmp.Diff(before[now].Primaries, docsOf(t, p, s)[now].Primaries); diff != "" {
		t.Errorf("the month of now changed (-before +after):\n%s", diff)
	}
	if left, err := s.Count(t.Context(), ofMonths(9, 10), 0); err != nil || left.Records != 140 {
		t.Errorf("%d records are left: %v", left.Records, err)
	}
}

func TestWhatIsWorthMerging(t *testing.T) {
	for name, c := range map[string]struct {
		stats string
		want  bool
	}{
		"many are deleted":              {`{"primaries":{"docs":{"count":80,"deleted":20}},"shards":{"0":[{"seq_no":{"max_seq_no":99},"retention_leases":{"leases":[{"retaining_seq_no":100}]}}]}}`, true},
		"a tenth is deleted":            {`{"primaries":{"docs":{"count":90,"deleted":10}}}`, false},
		"all are deleted":               {`{"primaries":{"docs":{"count":0,"deleted":10}}}`, true},
		"nothing is there":              {`{"primaries":{"docs":{"count":0,"deleted":0}}}`, false},
		"it is being merged":            {`{"primaries":{"docs":{"count":80,"deleted":20},"merges":{"current":1}}}`, false},
		"one shard keeps what it was":   {`{"primaries":{"docs":{"count":80,"deleted":20}},"shards":{"0":[{"seq_no":{"max_seq_no":99},"retention_leases":{"leases":[{"retaining_seq_no":100}]}}],"1":[{"seq_no":{"max_seq_no":99},"retention_leases":{"leases":[{"retaining_seq_no":7}]}}]}}`, false},
		"one replica keeps what it was": {`{"primaries":{"docs":{"count":80,"deleted":20}},"shards":{"0":[{"seq_no":{"max_seq_no":99}},{"seq_no":{"max_seq_no":99},"retention_leases":{"leases":[{"retaining_seq_no":100},{"retaining_seq_no":99}]}}]}}`, false},
	} {
		var docs indexDocs
		if err := unmarshal([]byte(c.stats), &docs); err != nil {
			t.Fatal(err)
		}
		if got := docs.worthMerging(); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

func docsOf(t *testing.T, p *place, s *Store) map[string]indexDocs {
	t.Helper()
	p.mustRefresh()
	docs, err := s.docsOf(t.Context(), p.prefix+"-audit-*")
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestNotesOfAStateThatIsGone(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	if _, err := s.WriteNote(t.Context(), "retention", []byte("text"), ""); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, inMonth(9))
	p.do(http.MethodDelete, "/"+p.prefix+"-state", "")
	_, err := p.open().ReadNote(t.Context(), "retention")
	mustRefuse(t, err, store.Conflict, p.prefix+"-state")
	_, err = p.open().WriteNote(t.Context(), "retention", nil, "")
	mustRefuse(t, err, store.Conflict, p.prefix+"-state")
	_, err = p.open().Stretches(t.Context(), record.KindAudit)
	mustRefuse(t, err, store.Conflict, p.prefix+"-state")
	_, err = p.open().Erase(t.Context(), allAudits(1))
	mustRefuse(t, err, store.Conflict, p.prefix+"-state")
}

func TestFaultsOfABatch(t *testing.T) {
	hits := func(count int) reaction {
		var parts []string
		for n := range count {
			high, low := record.ID{15: byte(n + 1)}.Halves()
			parts = append(parts, fmt.Sprintf(`{"_index":"x-audit-2026.11","_score":null,"sort":[%d,%d,%d,1]}`, date(2026, 11, 3).UnixNano(), high, low))
		}
		return reaction{body: `{"pit_id":"p","took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},` +
			`"hits":{"max_score":null,"hits":[` + strings.Join(parts, ",") + `]}}`}
	}
	items := func(items ...string) reaction {
		return reaction{body: `{"errors":true,"items":[` + strings.Join(items, ",") + `]}`}
	}
	item := func(status int, kind string) string {
		return fmt.Sprintf(`{"delete":{"status":%d,"error":{"type":%q}}}`, status, kind)
	}
	const deleted, absent = `{"delete":{"status":200}}`, `{"delete":{"status":404}}`
	refreshed, opened := reaction{body: `{"_shards":{"total":1,"successful":1,"failed":0}}`}, reaction{body: `{"id":"p","_shards":{"total":1,"successful":1,"failed":0}}`}
	counted := reaction{body: strings.Replace(page(), `"hits":{`, `"hits":{"total":{"value":3,"relation":"eq"},`, 1)}
	cases := map[string]struct {
		reactions  []reaction
		want       int
		wantReason store.Reason
	}{
		"both are deleted":           {[]reaction{refreshed, opened, counted, hits(2), items(deleted, deleted)}, 2, 0},
		"one was gone":               {[]reaction{refreshed, opened, counted, hits(2), items(absent, deleted)}, 1, 0},
		"one the second time":        {[]reaction{refreshed, opened, counted, hits(2), items(item(429, "es_rejected_execution_exception"), deleted), items(deleted)}, 2, 0},
		"one never":                  {[]reaction{refreshed, opened, counted, hits(2), items(item(503, "x"), deleted), items(item(503, "x"))}, 0, store.Unavailable},
		"read-only":                  {[]reaction{refreshed, opened, counted, hits(2), items(item(403, kindBlocked), deleted)}, 0, store.Unavailable},
		"the index is gone":          {[]reaction{refreshed, opened, counted, hits(2), items(item(404, kindIndexNotFound), item(404, kindIndexNotFound))}, 0, store.Unavailable},
		"an answer for one":          {[]reaction{refreshed, opened, counted, hits(2), items(deleted)}, 0, store.Unavailable},
		"more hits than asked for":   {[]reaction{refreshed, opened, counted, hits(3)}, 0, store.Unavailable},
		"a refresh that failed":      {[]reaction{{body: `{"_shards":{"total":1,"successful":0,"failed":1}}`}}, 0, store.Unavailable},
		"a point that lacks a shard": {[]reaction{refreshed, {body: `{"id":"p","_shards":{"total":1,"successful":0,"failed":1}}`}, refreshed, {status: 500}}, 0, store.Unavailable},
		"a search that timed out": {[]reaction{refreshed, opened, counted,
			{body: strings.Replace(hits(2).body, `"timed_out":false`, `"timed_out":true`, 1)}}, 0, store.Timeout},
		"a hit of a foreign document": {[]reaction{refreshed, opened, counted,
			{body: strings.Replace(hits(1).body, `"sort":[`, `"sort":[null,`, 1)}}, 0, store.Conflict},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, f := fakeStore(t, append(c.reactions, reaction{status: 500})...)
			opened, err := s.Erase(t.Context(), allAudits(1))
			if err != nil {
				t.Fatal(err)
			}
			// As Next does, but for looking ahead, which would take a reaction.
			e, erased := opened.(*erasure), 0
			found, err := e.take(t.Context(), 2)
			if err == nil {
				if erased, err = e.deleteHits(t.Context(), found); err != nil {
					erased = 0
				}
			}
			if err = explain(e.op, err); erased != c.want || store.ReasonOf(err) != c.wantReason {
				t.Errorf("erased %d, error %v, want %d, %v; %d requests", erased, err, c.want, c.wantReason, len(f.requests))
			}
		})
	}
}
