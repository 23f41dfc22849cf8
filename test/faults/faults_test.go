package faults_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/faults"
)

const whole = `{"took":1,"timed_out":false,"_shards":{"total":1,"successful":1,"skipped":0,"failed":0},` +
	`"hits":{"hits":[{"_source":{"id":"1"}},{"_source":{"id":"2"}}]}}`

func start(t *testing.T) *faults.Proxy {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, whole)
	}))
	t.Cleanup(upstream.Close)
	proxy, err := faults.Start(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy
}

// got is what a client saw: the body as far as it came, and how it ended.
type got struct {
	Status int
	Body   string
	Broken bool
}

func ask(ctx context.Context, url string) (got, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"size":2}`))
	if err != nil {
		return got{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return got{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return got{Status: response.StatusCode, Body: string(body), Broken: err != nil}, nil
}

func TestEachFaultIsWhatAClientSees(t *testing.T) {
	proxy := start(t)
	half := whole[:len(whole)/2]
	oneHit := `"hits":{"hits":[{"_source":{"id":"1"}}]}`
	cases := map[faults.Kind]struct {
		want got
		// wantParts replaces want.Body.
		wantParts []string
	}{
		faults.Pass:        {want: got{Status: 200, Body: whole}},
		faults.TimedOut:    {want: got{Status: 200}, wantParts: []string{`"timed_out":true`, `"failed":0`, oneHit}},
		faults.FailedShard: {want: got{Status: 200}, wantParts: []string{`"timed_out":false`, `"failed":1`, oneHit}},
		faults.Rejected:    {want: got{Status: 429}, wantParts: []string{`es_rejected_execution_exception`}},
		faults.ShortBody:   {want: got{Status: 200, Body: half}},
		faults.MissingBody: {want: got{Status: 200, Body: half, Broken: true}},
		faults.Cut:         {want: got{Status: 200, Broken: true}, wantParts: []string{}},
		faults.NotJSON:     {want: got{Status: 200}, wantParts: []string{"<html>"}},
	}
	for kind, c := range cases {
		t.Run(kind.String(), func(t *testing.T) {
			if err := proxy.Set(faults.Fault{Kind: kind, SearchesOnly: true}); err != nil {
				t.Fatal(err)
			}
			answer, err := ask(t.Context(), proxy.URL()+"/x/_search")
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range c.wantParts {
				if !strings.Contains(answer.Body, part) {
					t.Errorf("the body lacks %s: %s", part, answer.Body)
				}
			}
			if c.wantParts != nil {
				answer.Body = ""
			}
			if diff := cmp.Diff(c.want, answer); diff != "" {
				t.Error(diff)
			}
			other, err := ask(t.Context(), proxy.URL()+"/x/_doc/1")
			if err != nil || other.Body != whole {
				t.Errorf("what is no search came as %+v, %v", other, err)
			}
		})
	}
}

func TestAClientThatGoesAwayIsCounted(t *testing.T) {
	proxy := start(t)
	if err := proxy.Set(faults.Fault{Kind: faults.Hang}); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := ask(ctx, proxy.URL()+"/x/_search")
		left <- err
	}()
	await.True(t, "the search hangs", func() bool { return proxy.Counts().Open == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	await.True(t, "the search is cancelled", func() bool { return proxy.Counts().Cancelled == 1 })
	if diff := cmp.Diff(faults.Counts{Requests: 1, Searches: 1, Cancelled: 1}, proxy.Counts()); diff != "" {
		t.Error(diff)
	}
}

func TestConnectionsAreRefusedUntilTheyAreNot(t *testing.T) {
	proxy := start(t)
	if err := proxy.Set(faults.Fault{Kind: faults.Refuse}); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), proxy.URL()+"/x/_search"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("refused connections give %v", err)
	}
	if err := proxy.Set(faults.Fault{Delay: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	answer, err := ask(t.Context(), proxy.URL()+"/x/_search")
	if err != nil || answer.Body != whole {
		t.Fatalf("%+v, %v", answer, err)
	}
	if took := time.Since(began); took < 20*time.Millisecond {
		t.Errorf("the answer came after %s", took)
	}
}
