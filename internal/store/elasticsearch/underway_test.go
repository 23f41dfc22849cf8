package elasticsearch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// handed is a network that is a function.
type handed func(*http.Request) (*http.Response, error)

func (h handed) RoundTrip(r *http.Request) (*http.Response, error) { return h(r) }

// openHanded opens a store whose requests go through a function, which is given
// the network and the body. It sends no request twice.
func (p *place) openHanded(through func(network http.RoundTripper, r *http.Request, body string) (*http.Response, error)) *Store {
	p.t.Helper()
	network := &http.Transport{DisableCompression: true}
	p.t.Cleanup(network.CloseIdleConnections)
	return p.open(func(o *Options) {
		o.MaxRetries, o.transport = -1, handed(func(r *http.Request) (*http.Response, error) {
			var body []byte
			if r.Body != nil {
				body, _ = io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
			}
			return through(network, r, string(body))
		})
	})
}

// TestAnErasureThatAnotherHasIsLeftToIt: who could not begin does not take the
// block of who did.
func TestAnErasureThatAnotherHasIsLeftToIt(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	fillSeptember(t, p, s, 3)
	snapshot, err := s.catalogue.renew(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	erasureOf := func(s *Store) *wholeErasure {
		return &wholeErasure{Store: s, shards: 1, survives: allOf{noneOf: []clause{everything{}}},
			entry: erasing{Index: p.september(), UUID: snapshot.present[p.september()].uuid, Owner: newOwner(), Phase: preparing}}
	}
	first := erasureOf(s)
	if err := first.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.block(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = erasureOf(p.open()).run(t.Context())
	mustRefuse(t, err, store.Unavailable, "another is under way")
	found, err := s.catalogue.settingsOf(t.Context(), p.september())
	if err != nil || !found.any() {
		t.Errorf("the index is %+v (%v), want it blocked still", found, err)
	}
	if err := first.undo(t.Context(), first.entry); err != nil {
		t.Fatal(err)
	}
	appendEventually(t, s, inSeptember(7))
}

// TestWhatIsGoneIsCountedThoughTheEndFailed cuts the eraser off behind the
// deletion of the index.
func TestWhatIsGoneIsCountedThoughTheEndFailed(t *testing.T) {
	p := newPlace(t)
	fillSeptember(t, p, p.open(), 3)
	var gone atomic.Bool
	s := p.openHanded(func(network http.RoundTripper, r *http.Request, body string) (*http.Response, error) {
		if gone.Load() {
			return nil, errDead
		}
		res, err := network.RoundTrip(r)
		gone.Store(strings.Contains(body, "remove_index"))
		return res, err
	})
	got, err := s.EraseStretch(t.Context(), record.KindAudit, p.september(), nil)
	if !store.IsUnavailable(err) || got.Records != 3 || got.Bytes == 0 {
		t.Errorf("%+v was erased: %v, want 3 records and Unavailable", got, err)
	}
	if err := p.open().FinishErasing(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestErasingEndsBeforeItsCaller looks at what requests that erase are given of
// the time of their caller: two thirds for us, and no more for Elasticsearch.
func TestErasingEndsBeforeItsCaller(t *testing.T) {
	const given, ours = 30 * time.Second, 20 * time.Second
	p := newPlace(t)
	fillSeptember(t, p, p.open(), 3)
	seen := map[string]bool{}
	check := func(r *http.Request, body string) {
		names := []string{"timeout", "master_timeout"}
		var what string
		switch {
		case strings.HasSuffix(r.URL.Path, "/_bulk"):
			what, names = "bulk", names[:1]
		case strings.Contains(body, "remove_index"):
			what = "deletion"
		case strings.HasSuffix(r.URL.Path, "/_block/write"):
			what = "block"
		default:
			return
		}
		seen[what] = true
		if deadline, ok := r.Context().Deadline(); !ok || time.Until(deadline) > ours {
			t.Errorf("%s: we wait for %s, want at most %s", what, time.Until(deadline), ours)
		}
		for _, name := range names {
			if d := timeoutOf(r.URL, name); d < leastTimeout || d > ours {
				t.Errorf("%s: %s is %s, want at most %s", what, name, d, ours)
			}
		}
		if id := r.Header.Get("X-Opaque-Id"); what != "block" && id != p.prefix+"-erasing" {
			t.Errorf("%s: it can't be recognised by %q", what, id)
		}
	}
	s := p.openHanded(func(network http.RoundTripper, r *http.Request, body string) (*http.Response, error) {
		check(r, body)
		return network.RoundTrip(r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), given)
	defer cancel()
	e, err := s.Erase(ctx, allAudits(1))
	if err != nil {
		t.Fatal(err)
	}
	if erased, err := e.Next(ctx, 1); err != nil || erased != 1 {
		t.Fatalf("erased %d: %v", erased, err)
	}
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := s.EraseStretch(ctx, record.KindAudit, p.september(), nil); err != nil || got.Records != 2 {
		t.Fatalf("erased %+v: %v", got, err)
	}
	if len(seen) != 3 {
		t.Errorf("only %v were seen", seen)
	}
}

func timeoutOf(u *url.URL, name string) time.Duration {
	d, _ := time.ParseDuration(u.Query().Get(name))
	return d
}

func TestTheLeastThatElasticsearchIsGiven(t *testing.T) {
	over, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got := (&client{timeout: time.Minute}).patience(over); got != leastTimeout {
		t.Errorf("%s, want %s", got, leastTimeout)
	}
	if got := (&client{timeout: 7 * time.Second}).patience(t.Context()); got != 7*time.Second {
		t.Errorf("%s without a deadline, want the client's", got)
	}
}

// TestNothingIsErasedWhileAnEarlierErasureMayGoOn loses the answer to a request
// that erases, and lets Elasticsearch say that it is under way for a while.
func TestNothingIsErasedWhileAnEarlierErasureMayGoOn(t *testing.T) {
	const task = `{"nodes":{"n":{"tasks":{"n:1":{"action":"indices:data/write/bulk","headers":{"X-Opaque-Id":"%"}}}}}}`
	cases := map[string]struct {
		// tasks are the answers, see openForgetful.
		tasks      []string
		wantReason store.Reason
		wantAsked  int64
	}{
		"it has ended":                         {[]string{""}, 0, 1},
		"it ends in a while":                   {[]string{task, task, ""}, 0, 3},
		"it does not end":                      {[]string{task}, store.Unavailable, settleTries},
		"it is another's":                      {[]string{strings.Replace(task, "%", "other", 1)}, 0, 1},
		"a node does not tell":                 {[]string{`{"node_failures":[{"type":"failed_node_exception"}],"nodes":{}}`}, store.Unavailable, 1},
		"a task does not tell":                 {[]string{`{"task_failures":[{"status":"x"}],"nodes":{}}`}, store.Unavailable, 1},
		"the answer is none":                   {[]string{`{}`}, store.Unavailable, 1},
		"Elasticsearch can't be asked for now": {[]string{"down"}, store.Unavailable, 1},
	}
	calls := map[string]func(context.Context, *Store, *place) error{
		"Erase": func(ctx context.Context, s *Store, _ *place) error { _, err := s.Erase(ctx, allAudits(1)); return err },
		"EraseStretch": func(ctx context.Context, s *Store, p *place) error {
			_, err := s.EraseStretch(ctx, record.KindAudit, p.september(), query.Equal{Field: "user_id", Value: "nobody"})
			if errors.Is(err, store.ErrSurvivors) {
				return nil
			}
			return err
		},
		"FinishErasing": func(ctx context.Context, s *Store, _ *place) error { return s.FinishErasing(ctx) },
	}
	p := newPlace(t)
	fillSeptember(t, p, p.open(), 30)
	for name, c := range cases {
		for call, do := range calls {
			t.Run(name+", "+call, func(t *testing.T) {
				s, asked := p.openForgetful(c.tasks)
				e, err := s.Erase(t.Context(), allAudits(1))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = e.Close(t.Context()) }()
				if _, err := e.Next(t.Context(), 1); !store.IsUnavailable(err) {
					t.Fatalf("the lost answer is %v, want Unavailable", err)
				}
				if err := do(t.Context(), s, p); store.ReasonOf(err) != c.wantReason {
					t.Errorf("%v, want %v", err, c.wantReason)
				}
				if asked.Load() != c.wantAsked {
					t.Errorf("asked %d times, want %d", asked.Load(), c.wantAsked)
				}
				// The next batch asks again only if it is not known yet.
				_, err = e.Next(t.Context(), 1)
				if store.ReasonOf(err) != c.wantReason || (c.wantReason == 0 && asked.Load() != c.wantAsked) {
					t.Errorf("the next batch: %v, want %v; asked %d times", err, c.wantReason, asked.Load())
				}
			})
		}
	}
}

// openForgetful opens a store to which the first bulk is not answered, and the
// questions for tasks so: the last answer again and again, "" by Elasticsearch,
// "down" by nobody. It counts those questions, and does not wait between them.
func (p *place) openForgetful(tasks []string) (*Store, *atomic.Int64) {
	p.t.Helper()
	var asked atomic.Int64
	var lost atomic.Bool
	s := p.openHanded(func(network http.RoundTripper, r *http.Request, _ string) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/_bulk") && lost.CompareAndSwap(false, true) {
			return nil, io.ErrUnexpectedEOF
		}
		if !strings.HasSuffix(r.URL.Path, "/_tasks") {
			return network.RoundTrip(r)
		}
		switch answer := tasks[min(int(asked.Add(1)), len(tasks))-1]; answer {
		case "":
			return network.RoundTrip(r)
		case "down":
			return nil, errDead
		default:
			return reaction{body: strings.Replace(answer, "%", p.prefix+"-erasing", 1)}.response(r)
		}
	})
	s.client.sleep = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return s, &asked
}

// TestElasticsearchTellsOurTasks looks for the task of a request that is under
// way as Elasticsearch writes it.
func TestElasticsearchTellsOurTasks(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	fillSeptember(t, p, s, 3)
	if going, err := s.erasingUnderWay(t.Context()); err != nil || going {
		t.Fatalf("before: %t, %v", going, err)
	}
	// A bulk waits for shards that there are not, as long as it may.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, p.cluster.URLs()[0]+"/"+p.september()+"/_bulk?wait_for_active_shards=2&timeout=3s",
			strings.NewReader(`{"delete":{"_id":"none"}}`+"\n"))
		r.Header = s.mark(ndjson())
		if res, err := http.DefaultClient.Do(r); err == nil {
			_ = res.Body.Close()
		}
	}()
	defer func() { <-ended }()
	for {
		going, err := s.erasingUnderWay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if going {
			break
		}
		select {
		case <-ended:
			t.Fatal("the request that waits was never seen")
		default:
		}
	}
	cancel() // Elasticsearch goes on nevertheless
	if going, err := s.erasingUnderWay(t.Context()); err != nil || !going {
		t.Errorf("after its client went: %t, %v; want it under way", going, err)
	}
	if err := p.open().waitForErasing(t.Context()); err != nil {
		t.Errorf("it does not end: %v", err)
	}
}
