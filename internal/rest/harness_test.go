package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/test/builders"
)

// What the server is wired with.
var (
	_ rest.Lister  = store.Reader(nil)
	_ rest.Cursors = (*store.Cursors)(nil)
	_ rest.Tenancy = (*tenancy.Directory)(nil)
	_ rest.Gate    = (*semaphore.Weighted)(nil)
)

// The paths of the audits, on the three ways in, and of the auth audits.
const (
	ownAudits     = "/v1/audits"
	ownAuthAudits = "/v1/auth_audits"
	allAudits     = "/apis/rest.auditquery.dev/v1/audits"
	shopAudits    = "/apis/rest.auditquery.dev/v1/namespaces/shop/audits"
)

// lister answers from a slice, newest first, and keeps what it was asked. It
// leaves out filters and scopes: stores have a suite of their own.
type lister struct {
	mu        sync.Mutex
	documents [][]byte
	positions []query.Position
	asked     []query.Query
	failNext  error
	// wait, when set, is called with each request's context.
	wait func(context.Context) error
}

func (l *lister) List(ctx context.Context, q query.Query) (store.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, q)
	if err := l.failNext; err != nil {
		l.failNext = nil
		return store.Page{}, err
	}
	if l.wait != nil {
		return store.Page{}, l.wait(ctx)
	}
	start := 0
	if q.After != nil {
		start = slices.Index(l.positions, *q.After) + 1
	}
	end := min(start+q.Limit, len(l.documents))
	page := store.Page{Documents: l.documents[start:end]}
	if end < len(l.documents) {
		page.Next = &l.positions[end-1]
	}
	return page, nil
}

func (l *lister) hold(records ...record.Record) {
	for _, r := range records {
		document, err := record.Encode(r)
		if err != nil {
			panic(err) // what a builder made always encodes
		}
		l.documents = append(l.documents, document)
		l.positions = append(l.positions, store.PositionOf(r))
	}
}

// last returns the latest query.
func (l *lister) last(t *testing.T) query.Query {
	t.Helper()
	if len(l.asked) == 0 {
		t.Fatal("the store was not asked")
	}
	return l.asked[len(l.asked)-1]
}

// directory knows namespaces and their organisations.
type directory struct {
	owned map[string][]string
	// fail fails every question, failScope that for a scope.
	fail, failScope error
}

func (d *directory) Scope(namespace string) (query.Scope, error) {
	if err := errors.Join(d.fail, d.failScope); err != nil {
		return query.Scope{}, err
	}
	if d.owned[namespace] == nil {
		return query.Scope{}, tenancy.ErrUnknownNamespace
	}
	return shopScope(namespace, d.owned[namespace]...), nil
}

func (d *directory) Owns(namespace, orgID string) (bool, error) {
	return slices.Contains(d.owned[namespace], orgID), d.fail
}

// claimant is the namespace that an organisation is resolved to on the server's
// own address.
func (d *directory) claimant(orgID string) string {
	for namespace, owned := range d.owned {
		if slices.Contains(owned, orgID) {
			return namespace
		}
	}
	return "auditquery-system"
}

func shopScope(namespace string, owned ...string) query.Scope {
	return query.Scope{Name: tenancy.ScopeName(namespace), Restrict: query.AnyOf{Field: "org_id", Values: owned}}
}

// fixture is a handler over fakes.
type fixture struct {
	handler   *rest.Handler
	store     *lister
	directory *directory
	now       time.Time
	metrics   *prometheus.Registry
	gate      *semaphore.Weighted
}

func newFixture(t testing.TB, modify ...func(*rest.Options)) *fixture {
	t.Helper()
	f := &fixture{
		store:     &lister{},
		directory: &directory{owned: map[string][]string{"shop": {"org-1", "org-2"}, "bank": {"org-3"}}},
		now:       time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		metrics:   prometheus.NewRegistry(), gate: semaphore.NewWeighted(4),
	}
	now := func() time.Time { return f.now }
	cursors, err := store.NewCursors(bytes.Repeat([]byte{7}, store.CursorKeyBytes), now)
	if err != nil {
		t.Fatal(err)
	}
	options := rest.Options{
		Store: f.store, Cursors: cursors, Tenancy: f.directory, Gate: f.gate, Metrics: f.metrics, Now: now,
		Log: logr.Discard(),
	}
	for _, m := range modify {
		m(&options)
	}
	if f.handler, err = rest.New(options); err != nil {
		t.Fatal(err)
	}
	return f
}

// do sends a request as it comes through the server's filters: with the
// RequestInfo that it was authorized by.
func (f *fixture) do(t testing.TB, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	f.serve(t, w, r)
	return w
}

func (f *fixture) serve(t testing.TB, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	info, err := f.resolve(r)
	if err != nil {
		t.Fatalf("resolve %s: %v", r.URL, err)
	}
	f.handler.ServeHTTP(w, r.WithContext(request.WithRequestInfo(r.Context(), info)))
}

func (f *fixture) resolve(r *http.Request) (*request.RequestInfo, error) {
	original := r.URL.Path
	if list, ok := strings.CutPrefix(original, rest.OwnPrefix); ok {
		r = r.Clone(r.Context())
		r.URL.Path = rest.GroupPrefix + list
		if orgID := r.URL.Query().Get("org_id"); orgID != "" {
			r.URL.Path = rest.GroupPrefix + "namespaces/" + f.directory.claimant(orgID) + "/" + list
		}
	}
	factory := request.RequestInfoFactory{APIPrefixes: sets.NewString("apis", "api"), GrouplessAPIPrefixes: sets.NewString("api")}
	info, err := factory.NewRequestInfo(r)
	info.Path = original
	return info, err
}

func (f *fixture) get(t testing.TB, path string) *httptest.ResponseRecorder {
	t.Helper()
	return f.do(t, httptest.NewRequest(http.MethodGet, path, nil))
}

// refusal checks that an answer is a Status of that code and returns it.
func refusal(t testing.TB, w *httptest.ResponseRecorder, wantCode int) metav1.Status {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		t.Fatalf("%d with a body that is no Status: %v\n%s", w.Code, err, w.Body)
	}
	if w.Code != wantCode || status.Kind != "Status" || status.APIVersion != "v1" || status.Status != "Failure" ||
		int(status.Code) != wantCode || status.Message == "" || status.Reason == "" {
		t.Fatalf("got %d, want a Status of code %d:\n%s", w.Code, wantCode, w.Body)
	}
	if length := w.Header().Get("Content-Length"); length != fmt.Sprint(w.Body.Len()) {
		t.Errorf("Content-Length is %s of a body of %d bytes", length, w.Body.Len())
	}
	return status
}

// blames returns the parameter that a Status names.
func blames(status metav1.Status) string {
	if status.Details == nil || len(status.Details.Causes) != 1 {
		return ""
	}
	return status.Details.Causes[0].Field
}

// numbered returns audits, newest first, each at its own time.
func numbered(n int) []record.Record {
	records := make([]record.Record, 0, n)
	for i := range n {
		records = append(records, builders.Audit(func(a *record.Audit) {
			a.Time = record.At(builders.Time().Add(-time.Duration(i) * time.Second))
			a.TargetID = fmt.Sprint(i)
		}))
	}
	return records
}
