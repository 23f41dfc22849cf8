package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/test/builders"
)

// fakeReader holds records of one kind, newest first. It records what it was asked
// and can fail the next question. It pages, and filters nothing.
type fakeReader struct {
	mutex   sync.Mutex
	records []record.Record
	pages   int // rows after which a page ends early; 0 for none
	asked   []query.Query
	got     []query.Scope
	fail    error
	// half has the documents of lists cut in the middle.
	half    bool
	block   chan struct{} // closed to let questions go on; nil for at once
	waiting int
}

func (f *fakeReader) List(ctx context.Context, q query.Query) (store.Page, error) {
	if err := f.begin(ctx, func() { f.asked = append(f.asked, q) }); err != nil {
		return store.Page{}, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var page store.Page
	limit := q.Limit
	if f.pages > 0 {
		limit = min(limit, f.pages)
	}
	for _, r := range f.records {
		at := store.PositionOf(r)
		if q.After != nil && !older(at, *q.After) || r.Kind() != q.Kind {
			continue
		}
		if len(page.Documents) == limit {
			page.Next = lastOf(page, q.Kind)
			break
		}
		document := encoded(r)
		if f.half && len(page.Documents) > 0 {
			document = document[:len(document)/2]
		}
		page.Documents = append(page.Documents, document)
	}
	return page, nil
}

func (f *fakeReader) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	if err := f.begin(ctx, func() { f.got = append(f.got, scope) }); err != nil {
		return nil, err
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for _, r := range f.records {
		if r.Kind() == kind && r.Base().ID == id {
			return encoded(r), nil
		}
	}
	return nil, &store.Error{Reason: store.NotFound, Op: "get", Message: "there is no such record"}
}

func (f *fakeReader) begin(ctx context.Context, note func()) error {
	f.mutex.Lock()
	note()
	err, block := f.fail, f.block
	f.fail = nil
	f.waiting++
	f.mutex.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			err = &store.Error{Reason: store.Timeout, Op: "list", Message: "the deadline passed", Err: ctx.Err()}
		}
	}
	f.mutex.Lock()
	f.waiting--
	f.mutex.Unlock()
	return err
}

func (f *fakeReader) failNext(err error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.fail = err
}

// lastAsked returns the last query, and forgets all.
func (f *fakeReader) lastAsked(t *testing.T) query.Query {
	t.Helper()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.asked) == 0 {
		t.Fatal("the store was not asked")
	}
	last := f.asked[len(f.asked)-1]
	f.asked = nil
	return last
}

func older(a, b query.Position) bool {
	return a.Micros < b.Micros || a.Micros == b.Micros && bytes.Compare(a.ID[:], b.ID[:]) < 0
}

func lastOf(page store.Page, kind record.Kind) *query.Position {
	r := record.New(kind)
	if err := record.Decode(page.Documents[len(page.Documents)-1], r); err != nil {
		panic(err)
	}
	at := store.PositionOf(r)
	return &at
}

func encoded(r record.Record) []byte {
	document, err := record.Encode(r)
	if err != nil {
		panic(err)
	}
	return document
}

// fakeTenancy knows two namespaces. Records of org-1 are shop's.
type fakeTenancy struct {
	mutex    sync.Mutex
	notReady bool
}

var errNotReady = errors.New("not ready")

func (f *fakeTenancy) Ready() bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return !f.notReady
}

func (f *fakeTenancy) setReady(ready bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.notReady = !ready
}

func (f *fakeTenancy) Scope(namespace string) (query.Scope, error) {
	switch {
	case !f.Ready():
		return query.Scope{}, errNotReady
	case namespace != "shop" && namespace != "bank":
		return query.Scope{}, tenancy.ErrUnknownNamespace
	}
	return scopeOf(namespace), nil
}

func scopeOf(namespace string) query.Scope {
	return query.Scope{Name: tenancy.ScopeName(namespace), Restrict: query.Equal{Field: "org_id", Value: namespace}}
}

func (f *fakeTenancy) NamespaceOf(r *record.Common) (string, error) {
	return f.Claimant(r.OrgID)
}

func (f *fakeTenancy) Claimant(orgID string) (string, error) {
	if !f.Ready() {
		return "", errNotReady
	}
	if orgID == "org-1" {
		return "shop", nil
	}
	return tenancy.SystemNamespace, nil
}

// fakeAuthorizer lets everybody do what it is not told to deny, and remembers.
type fakeAuthorizer struct {
	mutex sync.Mutex
	seen  []string
}

func (f *fakeAuthorizer) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.seen = append(f.seen, fmt.Sprintf("%s %s %s.%s in %q", a.GetUser().GetName(), a.GetVerb(), a.GetResource(), a.GetAPIGroup(), a.GetNamespace()))
	if a.GetUser().GetName() == "nobody" {
		return authorizer.DecisionDeny, "nobody may do anything", nil
	}
	return authorizer.DecisionAllow, "", nil
}

func (f *fakeAuthorizer) last() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.seen[len(f.seen)-1]
}

// byToken takes a bearer token for a user's name.
var byToken = authenticator.RequestFunc(func(req *http.Request) (*authenticator.Response, bool, error) {
	name, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, ok, nil
})

// movingClock is the clock of continue tokens.
type movingClock struct {
	mutex sync.Mutex
	now   time.Time
}

func (c *movingClock) Now() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.now
}

func (c *movingClock) Add(d time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.now = c.now.Add(d)
}

// fakeREST says what it was asked.
type fakeREST struct{}

func (fakeREST) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	fmt.Fprintf(w, "original %s %s", req.Method, req.URL)
}

// audits makes n audits a second apart, newest first.
func audits(n int, modify ...func(int, *record.Audit)) []record.Record {
	var out []record.Record
	for i := range n {
		out = append(out, builders.Audit(func(a *record.Audit) {
			a.Time = record.At(builders.Time().Add(-time.Duration(i) * time.Second))
			a.TargetResourceName = fmt.Sprintf("thing-%d", i)
			a.Details = []byte(`{"n":` + fmt.Sprint(i) + `}`)
			for _, m := range modify {
				m(i, a)
			}
		}))
	}
	slices.SortFunc(out, func(a, b record.Record) int {
		if older(store.PositionOf(a), store.PositionOf(b)) {
			return 1
		}
		return -1
	})
	return out
}

// What programs use is what the server asks for.
var (
	_ Tenancy = (*tenancy.Directory)(nil)
	_ Tenancy = (*fakeTenancy)(nil)
)
