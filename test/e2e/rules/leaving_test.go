package rules_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/faults"
	"auditquery.dev/auditquery/test/stage"
)

// cancelTime is how long a search may go on whose client has gone.
const cancelTime = time.Second

func TestAClientThatGoesAwayEndsItsSearch(t *testing.T) {
	w := theWorld(t)
	all := ways(t, w.Stage)
	w.breakStore(t, faults.Fault{Kind: faults.Hang, SearchesOnly: true})
	for name, y := range all {
		t.Run(name, func(t *testing.T) {
			before := w.proxy.Counts()
			ctx, leave := context.WithCancel(t.Context())
			left := make(chan answer, 1)
			go func() { left <- y.ask(ctx) }()
			await.True(t, "the search has begun", func() bool { return w.proxy.Counts().Open > before.Open })
			leave()
			gone := time.Now()
			if a := <-left; !errors.Is(a.err, context.Canceled) {
				t.Fatalf("the answer came first: %s", a)
			}
			await.True(t, "the search is cancelled", func() bool { return w.proxy.Counts().Open == before.Open })
			took := time.Since(gone)
			after := w.proxy.Counts()
			if after.Cancelled != before.Cancelled+1 || after.Searches != before.Searches+1 {
				t.Errorf("before %+v, after %+v", before, after)
			}
			// The deadline of the store would end it, too, but much later.
			if took > cancelTime {
				t.Errorf("the search went on for %s", took)
			}
		})
	}
}

func TestTheDefaultDeadlineIsShorterThanARequestsTime(t *testing.T) {
	w := theWorld(t)
	t.Parallel() // it only waits
	proxy, err := faults.Start(w.elastic.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	server := w.extra(t, stage.ServerOptions{Name: "default", Role: stage.RoleAPIServer, ElasticsearchURL: proxy.URL()})
	own := mustClient(t, server.Config(w.reader(t, "patient")))
	asked := map[string]way{
		"the served records": {client: own, path: namespaced(recordsPath, smallOrg, "audits")},
		"the original API":   {client: own, path: ownPath + "/audits" + encoded([]string{"org_id", smallOrg})},
	}
	if err := proxy.Set(faults.Fault{Kind: faults.Hang, SearchesOnly: true}); err != nil {
		t.Fatal(err)
	}
	for name, a := range askAll(t.Context(), asked) {
		if err := refused(a); err != nil || a.status != http.StatusGatewayTimeout || a.took >= time.Minute {
			t.Errorf("%s: %v: %s", name, err, a)
		}
	}
}
