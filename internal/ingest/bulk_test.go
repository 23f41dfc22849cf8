package ingest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
)

// bulkItem is one event of a bulk body. Its name is its id and its target.
func bulkItem(id string, event ...string) string {
	if len(event) == 0 {
		event = []string{own(id)}
	}
	return fmt.Sprintf(`{"unique_id":%q,"create_time":"2026-11-02T10:30:00.5+01:00","event":%s}`, id, event[0])
}

func bulkOf(items ...string) string {
	return `{"events":[` + strings.Join(items, ",") + `],"always_respond_with_events":true}`
}

func bulkAnswered(t *testing.T, answered got) bulkAnswer {
	t.Helper()
	var answer bulkAnswer
	if err := json.Unmarshal([]byte(answered.Body), &answer); err != nil || answered.Status != 201 {
		t.Fatalf("answered %+v (%v)", answered, err)
	}
	if answer.Success == nil || answer.Discard == nil || answer.Retry == nil {
		t.Errorf("a list is missing: %s", answered.Body)
	}
	return answer
}

// statuses lists the events of a list with their statuses.
func statuses(results []bulkResult) []string {
	var all []string
	for _, result := range results {
		all = append(all, result.UniqueID+" "+string(result.Status))
	}
	return all
}

func TestBulkEventsGetAnAnswerEach(t *testing.T) {
	tests := map[string]struct {
		items                    []string
		wantSuccess, wantDiscard []string
		wantMessage              string // of the first discarded
		wantNames                map[string]int
		wantEchoed               bool
	}{
		"good ones": {
			items: []string{bulkItem("a"), bulkItem("b")}, wantSuccess: []string{"a success", "b success"}, wantNames: map[string]int{"a": 1, "b": 1},
		},
		"none": {},
		"one twice": {
			items: []string{bulkItem("a"), bulkItem("a")}, wantSuccess: []string{"a success"}, wantDiscard: []string{"a duplicate"},
			wantMessage: "in this request twice", wantNames: map[string]int{"a": 1},
		},
		"one id with another content goes to the store, which keeps the evidence": {
			items:       []string{bulkItem("a"), bulkItem("a", own("other"))},
			wantSuccess: []string{"a success", "a success"}, wantNames: map[string]int{"a": 1, "other": 1},
		},
		"no unique_id": {
			items: []string{bulkItem("a"), `{"create_time":"2026-11-02T10:30:00Z","event":` + own("b") + `}`}, wantSuccess: []string{"a success"},
			wantDiscard: []string{"events.1 invalid"}, wantMessage: "unique_id must be", wantNames: map[string]int{"a": 1}, wantEchoed: true,
		},
		"a unique_id of odd letters": {
			items: []string{`{"unique_id":"a b","create_time":"2026-11-02T10:30:00Z","event":{}}`}, wantDiscard: []string{"events.0 invalid"},
			wantMessage: "unique_id must be", wantEchoed: true,
		},
		"no create_time": {
			items: []string{`{"unique_id":"a","event":` + own("a") + `}`}, wantDiscard: []string{"a invalid"}, wantMessage: "create_time is missing", wantEchoed: true,
		},
		"a create_time without an offset": {
			items:       []string{`{"unique_id":"a","create_time":"2026-11-02T10:30:00","event":` + own("a") + `}`},
			wantDiscard: []string{"a invalid"}, wantMessage: "create_time is wrong", wantEchoed: true,
		},
		"no event":            {items: []string{`{"unique_id":"a","create_time":"2026-11-02T10:30:00Z"}`}, wantDiscard: []string{"a invalid"}, wantMessage: "event is missing"},
		"an event of no kind": {items: []string{bulkItem("a", `{"x":1}`)}, wantDiscard: []string{"a invalid"}, wantMessage: "event: ", wantEchoed: true},
		"an audit event of Kubernetes": {
			items: []string{bulkItem("a", `{"kind":"Event","apiVersion":"audit.k8s.io/v1"}`)}, wantDiscard: []string{"a invalid"},
			wantMessage: "no record of ours", wantEchoed: true,
		},
		"an event that is no object": {items: []string{bulkItem("a", `[1]`)}, wantDiscard: []string{"a invalid"}, wantMessage: "event: "},
		"an element that is none":    {items: []string{`5`, bulkItem("a")}, wantSuccess: []string{"a success"}, wantDiscard: []string{"events.0 invalid"}, wantMessage: "no object", wantNames: map[string]int{"a": 1}},
		"members that nobody knows":  {items: []string{`{"more":[1,{}],` + bulkItem("a")[1:]}, wantSuccess: []string{"a success"}, wantNames: map[string]int{"a": 1}},
		"a member twice": {
			items: []string{`{"unique_id":"b",` + bulkItem("a")[1:]}, wantDiscard: []string{"b invalid"}, wantMessage: "unique_id occurs twice",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answer := bulkAnswered(t, r.bulk(bulkOf(test.items...)))
			if diff := cmp.Diff(test.wantSuccess, statuses(answer.Success)); diff != "" {
				t.Errorf("success (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantDiscard, statuses(answer.Discard)); diff != "" {
				t.Errorf("discard (-want +got):\n%s", diff)
			}
			if len(answer.Discard) > 0 {
				if first := answer.Discard[0]; !strings.Contains(first.Message, test.wantMessage) || (len(first.Event) > 0) != test.wantEchoed {
					t.Errorf("discarded %+v", first)
				}
			}
			if len(answer.Retry) > 0 || answer.RetryAfter != 0 || len(r.letters.letters) > 0 {
				t.Errorf("answered %+v, letters %v", answer, r.letters.causes())
			}
			r.wantNames(test.wantNames)
		})
	}
}

func TestABulkRecordIsNamedByItsSender(t *testing.T) {
	r := newRig(t, func(s *setting) { s.senders.ClientOrgs["other"] = []string{"*"} })
	bulkAnswered(t, r.bulk(bulkOf(bulkItem("a"))))
	bulkAnswered(t, r.do(request{client: r.clientOf("other"), path: PathBulk, body: strings.NewReader(bulkOf(bulkItem("a")))}))
	entries := r.spool.entries(t)
	if len(entries) != 2 {
		t.Fatalf("%d entries", len(entries))
	}
	created := record.Timestamp(0)
	if err := created.UnmarshalText([]byte("2026-11-02T09:30:00.5Z")); err != nil {
		t.Fatal(err)
	}
	for i, sender := range []string{"cert:prod", "cert:other"} {
		if want := record.BulkID(record.KindAudit, sender, "a", created.Time()); entries[i].Record.ID != want {
			t.Errorf("of %s the id is %s, want %s", sender, entries[i].Record.ID, want)
		}
		if entries[i].Source != "bulk/"+sender || decoded(t, entries[i]).Base().SourceType != record.SourceBulk {
			t.Errorf("entry %+v", entries[i])
		}
	}
}

func TestABulkEventThatIsInTheSpoolIsADuplicate(t *testing.T) {
	r := newRig(t)
	body := bulkOf(bulkItem("a"))
	bulkAnswered(t, r.bulk(body))
	if diff := cmp.Diff([]string{"a duplicate"}, statuses(bulkAnswered(t, r.bulk(body)).Discard)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a success"}, statuses(bulkAnswered(t, r.bulk(bulkOf(bulkItem("a", own("other"))))).Success)); diff != "" {
		t.Errorf("another content: %s", diff)
	}
	r.known.Forget([]record.ID{r.spool.entries(t)[0].Record.ID})
	if diff := cmp.Diff([]string{"a success"}, statuses(bulkAnswered(t, r.bulk(body)).Success)); diff != "" {
		t.Errorf("when it has left the spool: %s", diff)
	}
	r.wantNames(map[string]int{"a": 2, "other": 1})
}

func TestBulkEventsThatMustComeAgain(t *testing.T) {
	var first []string // fill one part of the body
	for i := range maxBatchRecords {
		first = append(first, bulkItem(fmt.Sprint("first-", i)))
	}
	tests := map[string]struct {
		errs           []error
		cluster        func(*rig)
		wantStatus     int
		wantRetryAfter string
		want           bulkStatus
	}{
		"the spool becomes full after a part": {errs: []error{nil, spool.ErrFull}, wantStatus: 201, wantRetryAfter: "5", want: statusTooBusy},
		"too much waits after a part":         {errs: []error{nil, spool.ErrBusy}, wantStatus: 201, wantRetryAfter: "1", want: statusTooBusy},
		"the disk fails after a part":         {errs: []error{nil, syscall.EIO}, wantStatus: 201, wantRetryAfter: "5", want: statusUnprocessed},
		"the spool is full":                   {errs: []error{spool.ErrFull, nil}, wantStatus: 503, wantRetryAfter: "5"},
		"too much waits":                      {errs: []error{spool.ErrBusy, nil}, wantStatus: 429, wantRetryAfter: "1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.spool.failNext(test.errs...)
			items := append(slices.Clone(first), bulkItem("last"), bulkItem("last"))
			if test.wantStatus == 201 {
				items = append(items, bulkItem("bad", `{}`))
			}
			answered := r.bulk(bulkOf(items...))
			if answered.Status != test.wantStatus || answered.RetryAfter != test.wantRetryAfter {
				t.Fatalf("answered %d after %s: %.300s", answered.Status, answered.RetryAfter, answered.Body)
			}
			if test.wantStatus != 201 {
				r.wantNames(nil)
				return
			}
			answer := bulkAnswered(t, answered)
			want := []string{"last " + string(test.want), "last " + string(test.want)}
			if diff := cmp.Diff(want, statuses(answer.Retry)); diff != "" {
				t.Errorf("retry (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"bad invalid"}, statuses(answer.Discard)); diff != "" || len(answer.Success) != maxBatchRecords {
				t.Errorf("%d succeeded; discard (-want +got):\n%s", len(answer.Success), diff)
			}
			if got := fmt.Sprint(answer.RetryAfter); got != test.wantRetryAfter {
				t.Errorf("retry_after_delay_seconds is %s", got)
			}
			if account := r.ledger.Accounts()["bulk/cert:prod"]; account.Received != maxBatchRecords+3 || account.Acknowledged != maxBatchRecords {
				t.Errorf("counted %+v", account)
			}
		})
	}
}

func TestAnUndecidedBulkEventMustComeAgain(t *testing.T) {
	r := newRig(t)
	r.cluster.allowed["ann:create:audits.rest.auditquery.dev:shop"] = true
	asked := 0
	r.cluster.during = func() error {
		if asked++; asked > 1 {
			return syscall.ECONNREFUSED
		}
		return nil
	}
	body := bulkOf(bulkItem("a", ownLine("org-shop", "a")), bulkItem("b", ownLine("org-lab", "b")), bulkItem("c", ownLine("org-shop", "c")))
	answered := r.do(request{client: r.clientWith(), token: "token-of-ann", path: PathBulk, body: strings.NewReader(body)})
	answer := bulkAnswered(t, answered)
	want := bulkAnswer{
		Success: []bulkResult{{UniqueID: "a", Status: statusSuccess}}, Discard: []bulkResult{},
		Retry:      []bulkResult{{UniqueID: "b", Status: statusUnprocessed}, {UniqueID: "c", Status: statusUnprocessed}},
		RetryAfter: 5,
	}
	ignored := cmp.Options{cmpopts.IgnoreFields(bulkResult{}, "Message"), cmpopts.IgnoreUnexported(bulkResult{})}
	if diff := cmp.Diff(want, answer, ignored); diff != "" || answered.RetryAfter != "5" {
		t.Errorf("after %s (-want +got):\n%s", answered.RetryAfter, diff)
	}
}

func TestOnePoisonedBulkEventCostsNoNeighbour(t *testing.T) {
	for name, event := range poisoned() {
		if name == "an end that is missing" {
			continue // without lines nobody can tell where the next begins
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answer := bulkAnswered(t, r.bulk(bulkOf(bulkItem("before"), bulkItem("bad", event), bulkItem("after"))))
			if diff := cmp.Diff([]string{"before success", "after success"}, statuses(answer.Success)); diff != "" {
				t.Error(diff)
			}
			if len(answer.Discard) != 1 || answer.Discard[0].Status != statusInvalid || len(answer.Discard[0].Message) > maxMessage {
				t.Errorf("discarded %.500v", answer.Discard)
			}
			r.wantNames(map[string]int{"before": 1, "after": 1})
		})
	}
}

func TestBrokenBulkBodies(t *testing.T) {
	tooMany := make([]string, MaxBulkEvents+1)
	for i := range tooMany {
		tooMany[i] = bulkItem(fmt.Sprint(i))
	}
	for name, test := range map[string]struct {
		body      string
		want      int
		wantText  string
		wantNames map[string]int
		wantCount int
	}{
		"no JSON":                 {body: "hello", want: 400, wantText: "invalid JSON"},
		"nothing":                 {body: "", want: 400, wantText: "ends too early"},
		"a list":                  {body: "[]", want: 400, wantText: "no object"},
		"no events":               {body: `{"more":1}`, want: 400, wantText: `has no member \"events\"`},
		"events twice":            {body: `{"events":[],"events":[]}`, want: 400, wantText: "twice"},
		"events are no list":      {body: `{"events":{}}`, want: 400, wantText: "no list"},
		"an odd flag":             {body: `{"always_respond_with_events":1,"events":[]}`, want: 400, wantText: "neither"},
		"an odd other member":     {body: `{"more":nope,"events":[]}`, want: 400, wantText: "invalid JSON"},
		"it breaks off":           {body: `{"events":[` + bulkItem("a") + `,{"uni`, want: 400, wantText: "ends too early", wantCount: 1},
		"nonsense after an event": {body: `{"events":[` + bulkItem("a") + ` oops]}`, want: 400, wantText: "invalid JSON", wantCount: 1},
		"a comma too many":        {body: `{"events":[` + bulkItem("a") + `,]}`, want: 400, wantCount: 1},
		"text after the end":      {body: bulkOf(bulkItem("a")) + "x", want: 400, wantCount: 1},
		"too many events":         {body: bulkOf(tooMany...), want: 413, wantText: "at most 10000", wantCount: MaxBulkEvents},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			answered := r.bulk(test.body)
			if answered.Status != test.want || !strings.Contains(answered.Body, test.wantText) {
				t.Errorf("answered %+v, want %d with %q", answered, test.want, test.wantText)
			}
			if n := len(r.spool.entries(t)); n != test.wantCount {
				t.Errorf("%d records are in the spool, want %d", n, test.wantCount)
			}
		})
	}
}
