package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
)

func TestAFailureOfTheStoreIsNeverAnAnswer(t *testing.T) {
	failed := func(reason store.Reason) error {
		return &store.Error{Reason: reason, Op: "list Audit", Message: "a reason", RetryAfter: 7 * time.Second, Err: errors.New("10.1.2.3:9200")}
	}
	for name, tc := range map[string]struct {
		err       error
		wantCode  int
		wantRetry string
	}{
		"not found":        {err: failed(store.NotFound), wantCode: 404},
		"invalid":          {err: failed(store.Invalid), wantCode: 400},
		"expired":          {err: failed(store.Expired), wantCode: 410},
		"unavailable":      {err: failed(store.Unavailable), wantCode: 503, wantRetry: "1"},
		"timeout":          {err: failed(store.Timeout), wantCode: 504},
		"conflict":         {err: failed(store.Conflict), wantCode: 503},
		"wrapped":          {err: fmt.Errorf("page: %w", failed(store.Timeout)), wantCode: 504},
		"a new reason":     {err: failed(99), wantCode: 500},
		"of another type":  {err: errors.New("dial 10.1.2.3:9200"), wantCode: 500},
		"an ended context": {err: context.DeadlineExceeded, wantCode: 500},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store.hold(numbered(2)...)
			f.store.failNext = tc.err
			w := f.get(t, ownAudits)
			refusal(t, w, tc.wantCode)
			if got := w.Header().Get("Retry-After"); got != tc.wantRetry {
				t.Errorf("Retry-After is %q, want %q", got, tc.wantRetry)
			}
			if strings.Contains(w.Body.String(), "9200") {
				t.Errorf("the answer tells the store's address: %s", w.Body)
			}
			if w := f.get(t, ownAudits); w.Code != http.StatusOK {
				t.Errorf("after it, got %d", w.Code)
			}
		})
	}
}

func TestPathsAndMethods(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		wantCode     int
	}{
		"a record":                       {method: "GET", path: ownAudits + "/1", wantCode: 404},
		"a record of the group":          {method: "GET", path: allAudits + "/1", wantCode: 404},
		"a subresource":                  {method: "GET", path: shopAudits + "/1/status", wantCode: 404},
		"a slash behind":                 {method: "GET", path: ownAudits + "/", wantCode: 404},
		"another resource":               {method: "GET", path: "/v1/users", wantCode: 404},
		"another version":                {method: "GET", path: "/v2/audits", wantCode: 404},
		"no namespace":                   {method: "GET", path: "/apis/rest.auditquery.dev/v1/namespaces//audits", wantCode: 404},
		"a namespace":                    {method: "GET", path: "/apis/rest.auditquery.dev/v1/namespaces/shop", wantCode: 404},
		"a namespace on the own address": {method: "GET", path: "/v1/namespaces/shop/audits", wantCode: 404},
		"the old way to watch":           {method: "GET", path: "/apis/rest.auditquery.dev/v1/watch/audits", wantCode: 404},
		"to create deeper":               {method: "POST", path: ownAudits + "/1", wantCode: 404},
		"to create":                      {method: "POST", path: ownAudits, wantCode: 405},
		"to replace":                     {method: "PUT", path: allAudits, wantCode: 405},
		"to change":                      {method: "PATCH", path: shopAudits, wantCode: 405},
		"to delete all":                  {method: "DELETE", path: ownAuthAudits, wantCode: 405},
		"to ask for options":             {method: "OPTIONS", path: ownAuthAudits, wantCode: 405},
		"an unknown method":              {method: "BREW", path: ownAudits, wantCode: 405},
		"to create the document":         {method: "POST", path: rest.DocumentPath, wantCode: 405},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			w := f.do(t, httptest.NewRequest(tc.method, tc.path, nil))
			refusal(t, w, tc.wantCode)
			if got := w.Header().Get("Allow"); (got == "GET, HEAD") != (tc.wantCode == http.StatusMethodNotAllowed) {
				t.Errorf("Allow is %q", got)
			}
			if len(f.store.asked) > 0 {
				t.Error("the store was asked")
			}
		})
	}
}

func TestScopeComesFromTheNamespace(t *testing.T) {
	bank := strings.Replace(shopAudits, "shop", "bank", 1)
	nowhere := strings.Replace(shopAudits, "shop", "nowhere", 1)
	shop := query.Scope{Name: "namespace/shop", Restrict: query.AnyOf{Field: "org_id", Values: []string{"org-1", "org-2"}}}
	for name, tc := range map[string]struct {
		path      string
		fail      error
		failScope error
		wantCode  int
		wantScope query.Scope
	}{
		"everything of the cluster":                   {path: allAudits, wantCode: 200, wantScope: query.All()},
		"any organisation of the cluster":             {path: allAudits + "?org_id=org-9", wantCode: 200, wantScope: query.All()},
		"everything on the own address":               {path: ownAudits, wantCode: 200, wantScope: query.All()},
		"an empty org_id is none":                     {path: ownAudits + "?org_id=", wantCode: 200, wantScope: query.All()},
		"an organisation on the own address":          {path: ownAudits + "?org_id=org-1", wantCode: 200, wantScope: shop},
		"a namespace":                                 {path: shopAudits, wantCode: 200, wantScope: shop},
		"an organisation of the namespace":            {path: shopAudits + "?org_id=org-2", wantCode: 200, wantScope: shop},
		"an organisation of another namespace":        {path: bank + "?org_id=org-1", wantCode: 403},
		"an organisation of nobody":                   {path: shopAudits + "?org_id=org-9", wantCode: 403},
		"a namespace that does not exist":             {path: nowhere, wantCode: 200, wantScope: query.Scope{Name: "namespace/nowhere", Restrict: query.Or{}}},
		"an organisation there":                       {path: nowhere + "?org_id=org-1", wantCode: 403},
		"while tenancy is not known":                  {path: shopAudits, fail: errors.New("not yet"), wantCode: 503},
		"an organisation meanwhile":                   {path: shopAudits + "?org_id=org-1", fail: errors.New("not yet"), wantCode: 503},
		"all, which needs no tenancy":                 {path: allAudits, fail: errors.New("not yet"), wantCode: 200, wantScope: query.All()},
		"an organisation of a namespace that is gone": {path: shopAudits + "?org_id=org-1", fail: tenancy.ErrUnknownNamespace, wantCode: 403},
		"while too much is claimed":                   {path: shopAudits, failScope: &tenancy.TooManyClaimsError{Claims: 60_001}, wantCode: 400},
		"a scope that says nothing is no permission":  {path: strings.Replace(shopAudits, "shop", "broken", 1), wantCode: 500},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.directory.owned["broken"] = []string{""}
			f.directory.fail, f.directory.failScope = tc.fail, tc.failScope
			w := f.get(t, tc.path)
			if tc.wantCode != http.StatusOK {
				refusal(t, w, tc.wantCode)
				if retry := w.Header().Get("Retry-After"); (retry == "1") != (tc.wantCode == 503) {
					t.Errorf("Retry-After is %q", retry)
				}
				if len(f.store.asked) > 0 {
					t.Error("the store was asked")
				}
				return
			}
			if w.Code != http.StatusOK {
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tc.wantScope, f.store.last(t).Scope); diff != "" {
				t.Errorf("scope (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatWasAuthorizedIsWhatIsServed(t *testing.T) {
	right := request.RequestInfo{
		IsResourceRequest: true, Verb: "list", APIGroup: rest.Group, APIVersion: rest.Version, Resource: "audits", Namespace: "shop",
	}
	for name, tc := range map[string]struct {
		change   func(*request.RequestInfo)
		wantCode int
	}{
		"the same":            {change: func(*request.RequestInfo) {}, wantCode: 200},
		"another namespace":   {change: func(i *request.RequestInfo) { i.Namespace = "bank" }, wantCode: 500},
		"the whole cluster":   {change: func(i *request.RequestInfo) { i.Namespace = "" }, wantCode: 500},
		"the other resource":  {change: func(i *request.RequestInfo) { i.Resource = "auth_audits" }, wantCode: 500},
		"another group":       {change: func(i *request.RequestInfo) { i.APIGroup = "apps" }, wantCode: 500},
		"another verb":        {change: func(i *request.RequestInfo) { i.Verb = "get" }, wantCode: 500},
		"a subresource":       {change: func(i *request.RequestInfo) { i.Subresource = "status" }, wantCode: 500},
		"a plain path":        {change: func(i *request.RequestInfo) { i.IsResourceRequest = false }, wantCode: 500},
		"a watch":             {change: func(i *request.RequestInfo) { i.Verb = "watch" }, wantCode: 400},
		"one record's name":   {change: func(i *request.RequestInfo) { i.Name = "x" }, wantCode: 400},
		"only some fields":    {change: func(i *request.RequestInfo) { i.FieldSelector = "a=b" }, wantCode: 400},
		"only certain labels": {change: func(i *request.RequestInfo) { i.LabelSelector = "a=b" }, wantCode: 400},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			info := right
			tc.change(&info)
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, shopAudits, nil)
			f.handler.ServeHTTP(w, r.WithContext(request.WithRequestInfo(r.Context(), &info)))
			if w.Code != tc.wantCode || w.Code != http.StatusOK && len(f.store.asked) > 0 {
				t.Errorf("got %d, want %d; the store was asked %d times", w.Code, tc.wantCode, len(f.store.asked))
			}
		})
	}
	t.Run("nothing", func(t *testing.T) {
		f := newFixture(t)
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, shopAudits, nil))
		refusal(t, w, http.StatusInternalServerError)
	})
}

// untilDone is a store that answers only when its context ends.
func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return &store.Error{Reason: store.Timeout, Op: "list Audit", Message: "interrupted", Err: ctx.Err()}
}

func TestTheStoreHasADeadline(t *testing.T) {
	f := newFixture(t, func(o *rest.Options) { o.StoreTimeout = time.Millisecond })
	f.store.wait = untilDone
	refusal(t, f.get(t, ownAudits), http.StatusGatewayTimeout)
}

func TestAClientThatGoesAwayEndsTheQuery(t *testing.T) {
	f := newFixture(t)
	ctx, leave := context.WithCancel(t.Context())
	var ended error
	f.store.wait = func(ctx context.Context) error {
		leave()
		err := untilDone(ctx)
		ended = ctx.Err()
		return err
	}
	refusal(t, f.do(t, httptest.NewRequestWithContext(ctx, http.MethodGet, ownAudits, nil)), http.StatusGatewayTimeout)
	// The deadline would be DeadlineExceeded.
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("the query ended with %v", ended)
	}
}

func TestTooManyListsWaitAndThenAreRefused(t *testing.T) {
	f := newFixture(t, func(o *rest.Options) { o.StoreTimeout = time.Millisecond })
	if !f.gate.TryAcquire(4) {
		t.Fatal("the gate is taken")
	}
	w := f.get(t, ownAudits)
	refusal(t, w, http.StatusServiceUnavailable)
	if got := w.Header().Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After is %q", got)
	}
	f.gate.Release(4)
	f.store.failNext = &store.Error{Reason: store.Unavailable, Message: "stopped"}
	f.get(t, ownAudits)
	if !f.gate.TryAcquire(4) {
		t.Error("a list that failed still holds the gate")
	}
}

func TestALargePageTakesMoreOfTheGate(t *testing.T) {
	f := newFixture(t)
	// Two documents of 1 MiB take 2 of the 4 units.
	f.store.hold(numbered(2)...)
	for i := range f.store.documents {
		f.store.documents[i] = []byte(`"` + strings.Repeat("x", 1<<20-2) + `"`)
	}
	for free, wantCode := range map[int64]int{1: http.StatusServiceUnavailable, 2: http.StatusOK} {
		if !f.gate.TryAcquire(4 - free) {
			t.Fatal("an earlier list still holds the gate")
		}
		if w := f.get(t, ownAudits); w.Code != wantCode {
			t.Errorf("with %d units free, got %d, want %d", free, w.Code, wantCode)
		}
		f.gate.Release(4 - free)
	}
	if !f.gate.TryAcquire(4) {
		t.Error("a list still holds the gate")
	}
}

func TestAnswersAreCounted(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(2)...)
	f.get(t, ownAudits)
	f.get(t, ownAudits+"?limit=0")
	const want = `
# HELP auditquery_rest_records_total Records in the answers of the REST lists.
# TYPE auditquery_rest_records_total counter
auditquery_rest_records_total{resource="audits"} 2
# HELP auditquery_rest_requests_total Requests of the REST lists, by the code of the answer.
# TYPE auditquery_rest_requests_total counter
auditquery_rest_requests_total{code="200",resource="audits"} 1
auditquery_rest_requests_total{code="400",resource="audits"} 1
`
	if err := testutil.GatherAndCompare(f.metrics, strings.NewReader(want), "auditquery_rest_requests_total", "auditquery_rest_records_total"); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, o := range map[string]rest.Options{
		"nothing is set":        {},
		"a timeout beyond 60 s": {Store: &lister{}, Cursors: &store.Cursors{}, Tenancy: &directory{}, Gate: newFixture(t).gate, Metrics: prometheus.NewRegistry(), StoreTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := rest.New(o); err == nil {
				t.Error("accepted")
			}
		})
	}
}
