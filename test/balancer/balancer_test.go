package balancer_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"auditquery.dev/auditquery/test/await"
	"auditquery.dev/auditquery/test/balancer"
	"auditquery.dev/auditquery/test/loopback"
)

// server says its name and whether it is ready.
func server(t *testing.T, name string, ready *atomic.Bool) *httptest.Server {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && !ready.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, name)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestConnectionsGoToServersThatAreReady(t *testing.T) {
	var firstReady, secondReady atomic.Bool
	first, second := server(t, "first", &firstReady), server(t, "second", &secondReady)
	b, err := balancer.Start(strings.TrimPrefix(first.URL, "https://"), strings.TrimPrefix(second.URL, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(client *http.Client) string {
		response, err := client.Get(fmt.Sprintf("https://%s/", loopback.Address(b.Port())))
		if err != nil {
			return "nobody"
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		return string(body)
	}
	// Each request of fresh is a connection; kept keeps one.
	kept := first.Client()
	fresh := &http.Client{Transport: kept.Transport.(*http.Transport).Clone()}
	fresh.Transport.(*http.Transport).DisableKeepAlives = true

	if who := ask(fresh); who != "nobody" {
		t.Fatalf("%s answers while nobody is ready", who)
	}
	firstReady.Store(true)
	await.True(t, "one is ready", func() bool { return b.Ready() == 1 })
	if who := ask(kept); who != "first" {
		t.Fatalf("%s answers", who)
	}
	secondReady.Store(true)
	await.True(t, "both are ready", func() bool { return b.Ready() == 2 })
	seen := map[string]int{}
	for range 4 {
		seen[ask(fresh)]++
	}
	if seen["first"] != 2 || seen["second"] != 2 {
		t.Errorf("four connections went to %v", seen)
	}
	firstReady.Store(false)
	await.True(t, "the first is not ready any more", func() bool { return b.Ready() == 1 })
	for range 3 {
		if who := ask(fresh); who != "second" {
			t.Errorf("a new connection went to %s", who)
		}
	}
	if who := ask(kept); who != "first" {
		t.Errorf("the connection that was there leads to %s", who)
	}
}
