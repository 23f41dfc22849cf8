package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"auditquery.dev/auditquery/internal/ingest"
	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/entry"
	"auditquery.dev/auditquery/internal/ingest/ledger"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/certs"
)

// fillable is a spool that can be full for the next calls.
type fillable struct {
	*spool.Spool

	mutex sync.Mutex
	full  []bool
}

func (f *fillable) Append(ctx context.Context, batch *spool.Batch) error {
	f.mutex.Lock()
	full := len(f.full) > 0 && f.full[0]
	f.full = f.full[min(1, len(f.full)):]
	f.mutex.Unlock()
	if full {
		return spool.ErrFull
	}
	return f.Spool.Append(ctx, batch)
}

// Claimant gives org-1 to the namespace shop, as the directory of the lists does.
func (directory) Claimant(orgID string) (string, error) {
	if orgID == "org-1" {
		return "shop", nil
	}
	return "elsewhere", nil
}

// receive starts a receiver whose one good token may write the records of shop.
func receive(t *testing.T) (url, ca string, kept *fillable) {
	t.Helper()
	dir := t.TempDir()
	opened, err := spool.Open(t.Context(), spool.Options{Dir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	letters, err := deadletter.Open(deadletter.Options{Dir: filepath.Join(dir, "letters")})
	if err != nil {
		t.Fatal(err)
	}
	senders, err := auth.New(auth.Options{
		Claimant: directory{},
		Tokens: authenticator.TokenFunc(func(_ context.Context, shown string) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: "application"}}, shown == token, nil
		}),
		Authorizer: authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if a.GetNamespace() == "shop" {
				return authorizer.DecisionAllow, "", nil
			}
			return authorizer.DecisionNoOpinion, "", nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	kept = &fillable{Spool: opened}
	receiver, err := ingest.NewReceiver(ingest.Options{
		Spool: kept, Letters: letters, Ledger: ledger.New(nil), Known: ingest.NewKnown(), Senders: senders, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	files, ca := serving(t, dir)
	server, err := ingest.NewServer(ingest.ServerOptions{Address: "127.0.0.1:0", TLS: files, Handler: receiver, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, opened.Close()); err != nil {
			t.Error(err)
		}
	})
	return "https://" + server.Address(), ca, kept
}

func serving(t *testing.T, dir string) (files ingest.TLSFiles, ca string) {
	t.Helper()
	authority, err := certs.NewCA("contract")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.IssueServing("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if files.Cert, files.Key, err = pair.Write(dir, "receiver"); err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, authority.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return files, ca
}

// bulkCall is one call of the original client.
type bulkCall struct {
	Events []bulkEvent `json:"events"`
}

type bulkEvent struct {
	ID      string         `json:"unique_id"`
	Created string         `json:"create_time"`
	Event   map[string]any `json:"event"`
}

// bulkOutcome is what the client made of the answer.
type bulkOutcome struct {
	Type                    string
	Items                   []string
	Status                  int
	Success, Discard, Retry []bulkFate
	Delay                   float64
	Raised                  string
	RetryAfter              string `json:"retry_after"`
	Body                    struct{ Message string }
}

type bulkFate struct {
	ID      string         `json:"unique_id"`
	Status  string         `json:"status"`
	Message string         `json:"status_message"`
	Event   map[string]any `json:"event"`
}

func fates(all []bulkFate) []string {
	var names []string
	for _, f := range all {
		names = append(names, f.ID+" "+f.Status)
	}
	return names
}

// event is one that the client sends, made of a record of the builders.
func event(t *testing.T, id string, r record.Record) bulkEvent {
	t.Helper()
	document, err := record.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	e := bulkEvent{ID: id, Created: "2026-11-02T10:30:00.250000+00:00"}
	if err := json.Unmarshal(document, &e.Event); err != nil {
		t.Fatal(err)
	}
	e.Event["kind"] = string(r.Kind())
	return e
}

func TestTheOriginalClientSends(t *testing.T) {
	url, ca, kept := receive(t)
	sample := full() // audits of org-1, org-1 and org-2, and two logins
	calls := []bulkCall{
		{Events: []bulkEvent{event(t, "a-1", sample[0]), event(t, "a-2", sample[1]), event(t, "l-1", sample[3])}},
		{Events: []bulkEvent{event(t, "a-1", sample[0])}},
		{Events: []bulkEvent{event(t, "a-3", sample[2]), event(t, "l-2", sample[4]), {ID: "bad", Created: "2026-11-02T10:30:00Z", Event: map[string]any{"odd": 1}}}},
		{Events: []bulkEvent{}},
		{Events: []bulkEvent{event(t, "late", sample[0])}},
	}
	kept.full = []bool{false, false, true}
	got := runScript[bulkCall, bulkOutcome](t, "bulk.py", calls, url, token, ca)
	wants := []struct {
		status                  int
		success, discard, retry []string
	}{
		{status: 201, success: []string{"a-1 success", "a-2 success", "l-1 success"}},
		{status: 201, discard: []string{"a-1 duplicate"}},
		{status: 201, success: []string{"l-2 success"}, discard: []string{"a-3 invalid", "bad invalid"}},
		{status: 201},
		{status: 503},
	}
	for i, want := range wants {
		t.Run(fmt.Sprint("call ", i), func(t *testing.T) {
			if got[i].Status != want.status {
				t.Fatalf("got %+v", got[i])
			}
			for list, pair := range map[string][2][]string{
				"success": {want.success, fates(got[i].Success)}, "discard": {want.discard, fates(got[i].Discard)}, "retry": {want.retry, fates(got[i].Retry)},
			} {
				if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", list, diff)
				}
			}
			if want.status == 201 && got[i].Type != "AuditWebhookEventsProcessed" {
				t.Errorf("the answer is a %s of %v", got[i].Type, got[i].Items)
			}
		})
	}
	if refused := got[2].Discard[0]; !strings.Contains(refused.Message, `"elsewhere"`) || refused.Event["org_id"] != "org-2" {
		t.Errorf("the event that is not permitted: %+v", refused)
	}
	if last := got[4]; last.Raised != "ServiceException" || last.RetryAfter != "5" || last.Body.Message == "" {
		t.Errorf("while the spool is full: %+v", last)
	}
	wantKept(t, kept, sample)
}

// wantKept compares what is in the spool with what the client sent.
func wantKept(t *testing.T, kept *fillable, sample []record.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	taken, err := kept.Take(ctx, 100, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []map[string]any
	for _, one := range taken {
		e, err := entry.Parse(one.Data)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, judged(t, e.Record.Document))
	}
	for _, i := range []int{0, 1, 3, 4} {
		document, err := record.Encode(sample[i])
		if err != nil {
			t.Fatal(err)
		}
		fields := judged(t, document)
		fields["source_type"] = record.SourceBulk
		want = append(want, fields)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records in the spool (-want +got):\n%s", diff)
	}
}

// judged is a record but for what the receiver makes.
func judged(t *testing.T, document []byte) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(document, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "id")
	delete(fields, "ingest_time")
	return fields
}

func TestTheOriginalClientUnderstandsThatItMayNotSend(t *testing.T) {
	url, ca, _ := receive(t)
	got := runScript[bulkCall, bulkOutcome](t, "bulk.py", []bulkCall{{Events: []bulkEvent{event(t, "a", full()[0])}}}, url, "wrong", ca)
	if got[0].Raised != "UnauthorizedException" || got[0].Status != 401 || got[0].Body.Message == "" {
		t.Errorf("got %+v", got[0])
	}
}
