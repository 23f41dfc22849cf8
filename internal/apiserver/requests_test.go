package apiserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/await"
)

func TestFailuresOfTheStore(t *testing.T) {
	secret := errors.New("dial https://elastic:hunter2@store:9200")
	failure := func(reason store.Reason) error {
		return &store.Error{Reason: reason, Op: "list Audit", Message: "as it is", RetryAfter: time.Minute, Err: secret}
	}
	tests := map[string]struct {
		err        error
		want       int
		wantReason metav1.StatusReason
		wantRetry  string
	}{
		"not found":          {err: failure(store.NotFound), want: http.StatusNotFound, wantReason: metav1.StatusReasonNotFound},
		"invalid":            {err: failure(store.Invalid), want: http.StatusBadRequest, wantReason: metav1.StatusReasonBadRequest},
		"expired":            {err: failure(store.Expired), want: http.StatusGone, wantReason: metav1.StatusReasonExpired},
		"unavailable":        {err: failure(store.Unavailable), want: http.StatusServiceUnavailable, wantReason: metav1.StatusReasonServiceUnavailable, wantRetry: "1"},
		"timeout":            {err: failure(store.Timeout), want: http.StatusGatewayTimeout, wantReason: metav1.StatusReasonTimeout},
		"conflict":           {err: failure(store.Conflict), want: http.StatusServiceUnavailable, wantReason: metav1.StatusReasonServiceUnavailable},
		"one without a type": {err: secret, want: http.StatusInternalServerError, wantReason: metav1.StatusReasonInternalError},
	}
	s := start(t)
	s.reader.records = audits(3)
	paths := map[string]string{"list": shopAudits, "get": shopAudits + "/" + s.reader.records[0].Base().ID.String()}
	for name, test := range tests {
		for verb, path := range paths {
			t.Run(verb+", "+name, func(t *testing.T) {
				s.reader.failNext(test.err)
				a := s.get(path)
				var status metav1.Status
				if err := json.Unmarshal(a.body, &status); err != nil {
					t.Fatalf("%v: %s", err, a.body)
				}
				if a.code != test.want || status.Reason != test.wantReason || a.header.Get("Retry-After") != test.wantRetry {
					t.Errorf("%d %s, Retry-After %q", a.code, status.Reason, a.header.Get("Retry-After"))
				}
				if strings.Contains(string(a.body), "hunter2") || strings.Contains(string(a.body), "9200") {
					t.Errorf("the cause is told: %s", a.body)
				}
				if a := s.get(path); a.code != http.StatusOK {
					t.Errorf("the next one: %d %s", a.code, a.body)
				}
			})
		}
	}
}

func TestADocumentThatCannotBeReadIsAnErrorAndNoShortList(t *testing.T) {
	s := start(t)
	s.reader.records = audits(3)
	s.reader.half = true
	for _, accept := range []string{"application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		if a := s.get(shopAudits, "Accept", accept); a.code != http.StatusInternalServerError || strings.Contains(string(a.body), "thing-0") {
			t.Errorf("%s: %d %s", accept, a.code, a.body)
		}
	}
}

func TestOtherVerbsAreNotAllowed(t *testing.T) {
	s := start(t)
	for _, path := range []string{shopAudits, allAudits, shopAudits + "/x", recordsPath + "/namespaces/shop/authaudits"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead} {
			for _, who := range []string{"alice", "nobody"} {
				a := s.do(method, path, "Authorization", "Bearer "+who)
				if a.code != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET" {
					t.Errorf("%s %s: %d, Allow %q: %s", method, path, a.code, a.header.Get("Allow"), a.body)
				}
			}
		}
	}
}

func TestWatchSaysWhatToUseInstead(t *testing.T) {
	s := start(t)
	for _, path := range []string{
		shopAudits + "?watch=true", shopAudits + "?watch=1", allAudits + "?watch", recordsPath + "/watch/namespaces/shop/audits",
	} {
		a := s.get(path)
		var status metav1.Status
		if err := json.Unmarshal(a.body, &status); err != nil {
			t.Fatalf("%s: %v: %s", path, err, a.body)
		}
		if a.code != http.StatusMethodNotAllowed || !strings.Contains(status.Message, "AuditQuery") {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if a := s.get("/apis/rest.auditquery.dev/v1/audits?watch=true"); a.code != http.StatusBadRequest {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestGet(t *testing.T) {
	s := start(t)
	s.reader.records = audits(2)
	want := s.reader.records[1]
	id := want.Base().ID.String()
	var got v1alpha1.Audit
	s.get(shopAudits+"/"+id).into(t, &got)
	uid := id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	if got.Name != id || got.Namespace != "shop" || string(got.UID) != uid || got.Kind != "Audit" ||
		got.CreationTimestamp.Unix() != want.Base().Time.Time().Unix() || got.TargetResourceName != "thing-1" {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]string{v1alpha1.LabelActorType: "Human", v1alpha1.LabelOutcome: "Success"}, got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	s.reader.got = nil
	for _, path := range []string{shopAudits + "/web", shopAudits + "/" + strings.ToUpper(id), shopAudits + "/" + strings.Repeat("0", 32)} {
		if a := s.get(path); a.code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if diff := cmp.Diff(scopeOf("shop"), s.reader.got[0]); len(s.reader.got) != 1 || diff != "" {
		t.Errorf("what can be no id was asked for, or the scope is wrong: %d\n%s", len(s.reader.got), diff)
	}
}

func TestPermissionIsNeeded(t *testing.T) {
	s := start(t)
	for _, path := range []string{shopAudits, allAudits, shopAudits + "/x", "/v1/audits", "/apis/rest.auditquery.dev/v1/audits"} {
		if a := s.get(path, "Authorization", "Bearer nobody"); a.code != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
		if a := s.get(path, "Authorization", "none"); a.code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if len(s.reader.asked)+len(s.reader.got) > 0 {
		t.Error("the store was asked")
	}
}

func TestNothingIsShownWhileTenancyIsNotKnown(t *testing.T) {
	s := start(t)
	s.reader.records = audits(1)
	s.tenancy.setReady(false)
	for _, path := range []string{
		shopAudits, allAudits, shopAudits + "/" + s.reader.records[0].Base().ID.String(), "/v1/audits", "/v1/audits?org_id=org-1",
		"/apis/rest.auditquery.dev/v1/audits", "/apis/rest.auditquery.dev/v1/namespaces/shop/auth_audits",
	} {
		if a := s.get(path); a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d, Retry-After %q: %s", path, a.code, a.header.Get("Retry-After"), a.body)
		}
	}
	for _, path := range []string{"/apis", recordsPath, "/openapi/v2"} {
		if a := s.get(path); a.code != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	s.tenancy.setReady(true)
	if a := s.get(shopAudits); a.code != http.StatusOK {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestOriginalListsAreAuthorizedForWhatTheyAsk(t *testing.T) {
	tests := map[string]struct {
		method string
		path   string
		want   string // what was authorized; "" for none
		code   int
	}{
		"of all":                    {path: "/v1/audits", want: `alice list audits.rest.auditquery.dev in ""`, code: 200},
		"of an organisation":        {path: "/v1/auth_audits?org_id=org-1", want: `alice list auth_audits.rest.auditquery.dev in "shop"`, code: 200},
		"of one that nobody claims": {path: "/v1/audits?org_id=x", want: `alice list audits.rest.auditquery.dev in "auditquery-system"`, code: 200},
		"of an empty organisation":  {path: "/v1/audits?org_id=", want: `alice list audits.rest.auditquery.dev in ""`, code: 200},
		"of two":                    {path: "/v1/audits?org_id=org-1&org_id=org-1", code: 400},
		"half of it unreadable":     {path: "/v1/audits?org_id=org-1;limit=1", code: 400},
		"only the header":           {method: "HEAD", path: "/v1/audits?org_id=org-1", want: `alice list audits.rest.auditquery.dev in "shop"`, code: 200},
		"in a namespace":            {path: "/apis/rest.auditquery.dev/v1/namespaces/bank/audits", want: `alice list audits.rest.auditquery.dev in "bank"`, code: 200},
		"in all, aggregated":        {path: "/apis/rest.auditquery.dev/v1/audits?org_id=org-1", want: `alice list audits.rest.auditquery.dev in ""`, code: 200},
		"to change something":       {method: "POST", path: "/apis/rest.auditquery.dev/v1/audits", want: `alice list audits.rest.auditquery.dev in ""`, code: 200},
		"its document":              {path: "/openapi/rest.json", want: `alice get . in ""`, code: 200},
		"a deeper path":             {path: "/v1/audits/x", want: `alice get . in ""`, code: 200},
	}
	s := start(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s.authorizer.seen = []string{""}
			method := http.MethodGet
			if test.method != "" {
				method = test.method
			}
			a := s.do(method, test.path)
			if a.code != test.code || s.authorizer.last() != test.want {
				t.Errorf("%d %s: authorized %q", a.code, a.body, s.authorizer.last())
			}
			if test.code == http.StatusOK && method != http.MethodHead && !strings.HasPrefix(string(a.body), "original "+method+" "+test.path) {
				t.Errorf("answered %s", a.body)
			}
		})
	}
}

func TestAClientThatGoesAwayCancelsItsQuestion(t *testing.T) {
	s := start(t)
	s.reader.block = make(chan struct{})
	waiting := func() int {
		s.reader.mutex.Lock()
		defer s.reader.mutex.Unlock()
		return s.reader.waiting
	}
	ctx, cancel := contextOf(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.url+shopAudits, http.NoBody)
		req.Header.Set("Authorization", "Bearer alice")
		if response, err := s.client.Do(req); err == nil {
			response.Body.Close()
		}
	}()
	await.True(t, "the store is asked", func() bool { return waiting() == 1 })
	cancel()
	<-done
	await.True(t, "the question is cancelled", func() bool { return waiting() == 0 })
}

func TestTheStoreIsGivenLessTimeThanTheRequest(t *testing.T) {
	s := start(t, func(o *Options) { o.StoreTimeout = 50 * time.Millisecond })
	s.reader.block = make(chan struct{})
	if a := s.get(shopAudits); a.code != http.StatusGatewayTimeout || !strings.Contains(string(a.body), "the store of records took too long") {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestListsWaitForTheirMemory(t *testing.T) {
	s := start(t, func(o *Options) { o.Lists = minListUnits })
	s.reader.records = audits(1)
	s.reader.block = make(chan struct{})
	const clients = minListUnits + 5
	codes := make(chan int, clients)
	for range clients {
		go func() { codes <- s.get(shopAudits).code }()
	}
	asked := func() int {
		s.reader.mutex.Lock()
		defer s.reader.mutex.Unlock()
		return len(s.reader.asked)
	}
	await.True(t, "as many lists as may are in flight", func() bool { return asked() == minListUnits })
	close(s.reader.block)
	for range clients {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
	if asked() != clients {
		t.Errorf("%d of %d lists were answered", asked(), clients)
	}
}

func TestALargePageThatHasNoRoomIsRefused(t *testing.T) {
	s := start(t, func(o *Options) { o.Lists = minListUnits })
	s.reader.records = audits(40, func(_ int, a *record.Audit) {
		a.Details = []byte(`{"x":"` + strings.Repeat("x", 60_000) + `"}`)
	})
	if a := s.get(shopAudits); a.code != http.StatusOK {
		t.Fatalf("alone: %d %.300s", a.code, a.body)
	}
	s.reader.block = make(chan struct{})
	codes := make(chan answer, 1)
	hold := minListUnits - 1
	waiting := make(chan int, hold)
	for range hold {
		go func() { waiting <- s.get(shopAudits + "?limit=1").code }()
	}
	await.True(t, "others hold the memory", func() bool {
		s.reader.mutex.Lock()
		defer s.reader.mutex.Unlock()
		return s.reader.waiting == hold
	})
	s.reader.mutex.Lock()
	blocked := s.reader.block
	s.reader.block = nil
	s.reader.mutex.Unlock()
	go func() { codes <- s.get(shopAudits) }()
	if a := <-codes; a.code != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d, Retry-After %q: %.300s", a.code, a.header.Get("Retry-After"), a.body)
	}
	close(blocked)
	for range hold {
		if code := <-waiting; code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
}
