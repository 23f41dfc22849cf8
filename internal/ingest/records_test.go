package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// own is a line of a record with a target name, and further members.
func own(name string, members ...string) string {
	return fmt.Sprintf(`{"kind":"Audit","time":"2026-11-02T10:30:00Z","target_resource_name":%q%s}`, name, strings.Join(members, ""))
}

func lines(all ...string) string { return strings.Join(all, "\n") + "\n" }

func TestRecordsAreTakenInAllForms(t *testing.T) {
	list := string(builders.EventList(named("e1"), named("e2")))
	login := `{"kind":"AuthAudit","time":"2026-11-02T10:30:00Z","event_name":"Login"}`
	for name, test := range map[string]struct {
		body, media string
		want        recordsAnswer
		wantNames   map[string]int
	}{
		"lines":             {body: lines(own("a"), own("b")), want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 1, "b": 1}},
		"lines, not ended":  {body: own("a") + "\r\n\n" + own("b"), want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 1, "b": 1}},
		"an array":          {body: "[" + own("a") + ",\n" + own("b") + "]", media: "application/json", want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 1, "b": 1}},
		"one after another": {body: own("a") + own("b"), media: "application/json; charset=utf-8", want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 1, "b": 1}},
		"both kinds":        {body: lines(own("a"), login), want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 1}},
		"an array of lists": {body: "[" + list + "," + own("a") + "]", want: recordsAnswer{Received: 3, Accepted: 3}, wantNames: map[string]int{"a": 1, "e1": 1, "e2": 1}},
		"audit events":      {body: lines(list, own("a")), want: recordsAnswer{Received: 3, Accepted: 3}, wantNames: map[string]int{"a": 1, "e1": 1, "e2": 1}},
		"equal ones":        {body: lines(own("a"), own("a")), want: recordsAnswer{Received: 2, Accepted: 2}, wantNames: map[string]int{"a": 2}},
		"nothing":           {body: "", want: recordsAnswer{}},
		"an empty array":    {body: "[]", want: recordsAnswer{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if test.media == "" {
				test.media = "application/x-ndjson"
			}
			answered := r.do(request{path: PathRecords, media: test.media, body: strings.NewReader(test.body)})
			wantAnswer(t, answered, test.want)
			r.wantNames(test.wantNames)
		})
	}
}

func wantAnswer(t *testing.T, answered got, want recordsAnswer) {
	t.Helper()
	var answer recordsAnswer
	if err := json.Unmarshal([]byte(answered.Body), &answer); err != nil || answered.Status != 200 {
		t.Fatalf("answered %+v (%v)", answered, err)
	}
	if answer.Rejected == nil {
		t.Errorf("rejected is null: %s", answered.Body)
	}
	for i := range answer.Rejected {
		answer.Rejected[i].Message = "" // looked at apart
	}
	if len(answer.Rejected) == 0 {
		answer.Rejected = nil
	}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestABodyThatComesAgainGivesTheSameIDs(t *testing.T) {
	r := newRig(t)
	body := lines(own("a"), own("b"), own("a"))
	wantAnswer(t, r.lines(body), recordsAnswer{Received: 3, Accepted: 3})
	var ids []record.ID
	for _, e := range r.spool.entries(t) {
		ids = append(ids, e.Record.ID)
	}
	wantAnswer(t, r.lines(body), recordsAnswer{Received: 3, Accepted: 3})
	var again []record.ID
	for _, e := range r.spool.entries(t)[3:] {
		again = append(again, e.Record.ID)
	}
	if diff := cmp.Diff(ids, again); diff != "" {
		t.Error(diff)
	}
	if slices.Equal(ids[:1], ids[2:]) {
		t.Error("two equal records of one body are one")
	}
}

func TestWhatASenderCannotSet(t *testing.T) {
	r := newRig(t)
	line := own("a", `,"id":"00112233445566778899aabbccddeeff","ingest_time":"2020-01-01T00:00:00Z","source_type":"Kubernetes","cluster":"theirs"`)
	wantAnswer(t, r.lines(line), recordsAnswer{Received: 1, Accepted: 1})
	entries := r.spool.entries(t)
	base := decoded(t, entries[0]).Base()
	if base.SourceType != record.SourceBulk || base.Cluster != "theirs" || base.IngestTime.Time().Year() == 2020 || base.ID.String()[:4] == "0011" || base.ID.IsZero() {
		t.Errorf("stored %+v", base)
	}
	if entries[0].Source != "records/cert:prod" {
		t.Errorf("its source is %q", entries[0].Source)
	}
}

// poisoned are items that must cost no neighbour.
func poisoned() map[string]string {
	return map[string]string{
		"malformed JSON":         `{"kind":"Audit","time":nonsense}`,
		"an end that is missing": `{"kind":"Audit","time":"2026-11-02T10:30:00Z","details":{"a":[1`,
		"a wrong type":           own("x", `,"response_code":"many"`),
		"an unknown member":      own("x", `,"nobody_knows":1`),
		"a huge key":             own("x", `,"`+strings.Repeat("k", 1<<20)+`":1`),
		"no time":                `{"kind":"Audit","action":"x"}`,
		"another kind":           `{"kind":"Pod","apiVersion":"v1"}`,
		"a number":               `5`,
		"a string":               `"x"`,
		"nesting 10,001 deep":    own("x", `,"user_id":`+strings.Repeat("[", 10_001)+strings.Repeat("]", 10_001)),
		"too large":              own("x", `,"user_agent":"`+strings.Repeat("x", 3<<20)+`"`),
	}
}

func TestOnePoisonedLineCostsNoNeighbour(t *testing.T) {
	for name, line := range poisoned() {
		t.Run(name, func(t *testing.T) {
			t.Run("in an array", func(t *testing.T) { poisonedArray(t, line) })
			r := newRig(t)
			answered := r.lines(lines(own("before"), line, own("after")))
			wantAnswer(t, answered, recordsAnswer{Received: 3, Accepted: 2, Rejected: []rejection{{Index: 1}}, RejectedTotal: 1})
			r.wantNames(map[string]int{"before": 1, "after": 1})
			if len(r.letters.letters) != 1 {
				t.Fatalf("letters: %v", r.letters.causes())
			}
			letter := r.letters.letters[0]
			if letter.Source != "records/cert:prod" || !strings.HasPrefix(letter.Reason, "item 2: ") || len(letter.Excerpt) > record.MaxExcerptBytes {
				t.Errorf("letter %.300s of %s", letter.Reason, letter.Source)
			}
			account := r.ledger.Accounts()["records/cert:prod"]
			if account.Received != 3 || account.Acknowledged != 3 || account.DeadLettered[letter.Cause] != 1 {
				t.Errorf("counted %+v", account)
			}
		})
	}
}

// poisonedArray sends the same as an array. Only there the item must end.
func poisonedArray(t *testing.T, item string) {
	if strings.HasSuffix(item, "[1") {
		t.Skip("nobody can tell where the next one begins")
	}
	r := newRig(t)
	answered := r.do(request{path: PathRecords, body: strings.NewReader("[" + own("before") + "," + item + ", " + own("after") + "]")})
	wantAnswer(t, answered, recordsAnswer{Received: 3, Accepted: 2, Rejected: []rejection{{Index: 1}}, RejectedTotal: 1})
	r.wantNames(map[string]int{"before": 1, "after": 1})
}

func TestOddRecordsAreKept(t *testing.T) {
	var attributes []string
	for i := range 10_000 {
		attributes = append(attributes, fmt.Sprintf(`{"attribute_id":"%d"}`, i))
	}
	for name, line := range map[string]string{
		"10,000 attributes":    own("odd", `,"audit_attributes":[`+strings.Join(attributes, ",")+`]`),
		"details 9,000 deep":   own("odd", `,"details":`+strings.Repeat(`{"a":`, 9000)+"1"+strings.Repeat("}", 9000)),
		"invalid UTF-8":        own("odd", ",\"user_id\":\"a\xff\xfe\""),
		"a time in year 9999":  `{"kind":"Audit","time":"9999-12-31T23:59:59Z","target_resource_name":"odd"}`,
		"a lone surrogate":     own("odd", `,"user_id":"\ud800"`),
		"an address of no one": own("odd", `,"source_ip":"nowhere"`),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			wantAnswer(t, r.lines(lines(line, own("after"))), recordsAnswer{Received: 2, Accepted: 2})
			r.wantNames(map[string]int{"odd": 1, "after": 1})
		})
	}
}

func TestAllLinesAreBad(t *testing.T) {
	r := newRig(t)
	answered := r.lines(strings.Repeat("oops\n", 30))
	var answer recordsAnswer
	if err := json.Unmarshal([]byte(answered.Body), &answer); err != nil || answered.Status != 200 {
		t.Fatalf("answered %+v", answered)
	}
	if answer.RejectedTotal != 30 || len(answer.Rejected) != maxListedRejections || len(r.letters.letters) != 30 {
		t.Errorf("answered %+v, %d letters", answer, len(r.letters.letters))
	}
}

func TestAnArrayThatBreaksOff(t *testing.T) {
	for name, body := range map[string]string{
		"in the middle of an item": "[" + own("a") + `,{"kind":"Audit","ti`,
		"after an item":            "[" + own("a"),
		"with text after it":       "[" + own("a") + "]oops",
		"with a comma too many":    "[" + own("a") + ",]",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if answered := r.do(request{path: PathRecords, body: strings.NewReader(body)}); answered.Status != 400 {
				t.Errorf("answered %+v", answered)
			}
			r.wantNames(map[string]int{"a": 1})
		})
	}
}

func packed(t *testing.T, encoding, text string, level ...zstd.EOption) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if encoding == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&out, level...); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompressedBodies(t *testing.T) {
	var text strings.Builder
	for i := range 3000 {
		text.WriteString(own(fmt.Sprint("n", i)) + "\n")
	}
	for name, test := range map[string]struct {
		encoding string
		body     []byte
		want     int
		wantText string
		entries  int
	}{
		"gzip":                   {encoding: "gzip", body: packed(t, "gzip", text.String()), want: 200, entries: 3000},
		"zstd":                   {encoding: "zstd", body: packed(t, "zstd", text.String()), want: 200, entries: 3000},
		"zstd of one line":       {encoding: "zstd", body: packed(t, "zstd", own("a")), want: 200, entries: 1},
		"gzip in two parts":      {encoding: "gzip", body: append(packed(t, "gzip", own("a")+"\n"), packed(t, "gzip", own("b"))...), want: 200, entries: 2},
		"zstd in two parts":      {encoding: "zstd", body: append(packed(t, "zstd", own("a")+"\n"), packed(t, "zstd", own("b"))...), want: 200, entries: 2},
		"identity":               {encoding: "identity", body: []byte(own("a")), want: 200, entries: 1},
		"deflate":                {encoding: "deflate", body: []byte(own("a")), want: 415},
		"gzip twice":             {encoding: "gzip, gzip", body: []byte(own("a")), want: 415},
		"no gzip":                {encoding: "gzip", body: []byte(own("a")), want: 400, wantText: "no valid gzip"},
		"no zstd":                {encoding: "zstd", body: []byte(own("a")), want: 400, wantText: "no valid zstd"},
		"gzip that ends early":   {encoding: "gzip", body: cutOff(packed(t, "gzip", text.String())), want: 400, entries: -1},
		"zstd that ends early":   {encoding: "zstd", body: cutOff(packed(t, "zstd", text.String())), want: 400, entries: -1},
		"gzip of much of one":    {encoding: "gzip", body: packed(t, "gzip", own("a")+strings.Repeat(" ", 8<<20)), want: 413, wantText: "times as large", entries: 1},
		"zstd of much of one":    {encoding: "zstd", body: packed(t, "zstd", own("a")+"\n"+strings.Repeat(" ", 8<<20)), want: 413, wantText: "times as large", entries: 1},
		"zstd of a large window": {encoding: "zstd", body: packed(t, "zstd", strings.Repeat(text.String(), 100), zstd.WithWindowSize(32<<20)), want: 413, wantText: "window"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answered := r.do(request{path: PathRecords, encoding: test.encoding, body: bytes.NewReader(test.body)})
			if answered.Status != test.want || !strings.Contains(answered.Body, test.wantText) {
				t.Errorf("answered %+v, want %d with %q", answered, test.want, test.wantText)
			}
			if n := len(r.spool.entries(t)); test.entries >= 0 && n != test.entries || test.entries < 0 && n == 0 {
				t.Errorf("%d records are in the spool, want %d", n, test.entries)
			}
			if held := r.receiver.budget.Held(); held != 0 {
				t.Errorf("%d bytes are still charged", held)
			}
		})
	}
}

func cutOff(b []byte) []byte { return b[:len(b)-len(b)/4] }

func TestRecordsWhileTheSpoolIsFull(t *testing.T) {
	r := newRig(t)
	r.spool.failNext(spool.ErrFull)
	body := lines(own("a"), own("b"))
	if answered := r.lines(body); answered.Status != 503 || answered.RetryAfter != "5" {
		t.Errorf("answered %+v", answered)
	}
	wantAnswer(t, r.lines(body), recordsAnswer{Received: 2, Accepted: 2})
}

func TestMediaTypesOfRecords(t *testing.T) {
	r := newRig(t)
	for media, want := range map[string]int{
		"application/json": 200, "application/x-ndjson": 200, "application/jsonl; charset=utf-8": 200,
		"text/plain": 415, "application/x-www-form-urlencoded": 415, ";": 415,
	} {
		t.Run(media, func(t *testing.T) {
			answered := r.do(request{path: PathRecords, media: media, body: strings.NewReader(own("a"))})
			if answered.Status != want {
				t.Errorf("answered %+v, want %d", answered, want)
			}
		})
	}
}

// TestAnEventOfABadListIsNamed sends a list of events one of which is bad.
func TestAnEventAmongRecordsIsPutAside(t *testing.T) {
	r := newRig(t)
	list := builders.EventList(named("e1"), json.RawMessage(`{"auditID":"a","stage":"Later"}`))
	wantAnswer(t, r.do(request{path: PathRecords, body: bytes.NewReader(list)}),
		recordsAnswer{Received: 2, Accepted: 1, Rejected: []rejection{{Index: 1}}, RejectedTotal: 1})
	if diff := cmp.Diff([]deadletter.Cause{deadletter.Malformed}, r.letters.causes()); diff != "" {
		t.Error(diff)
	}
	if account := r.ledger.Accounts()["kubernetes/prod"]; account.Received != 2 || account.Acknowledged != 2 {
		t.Errorf("counted %+v", account)
	}
}
