package contract_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// TestLinksLeadThroughAStore follows the links of a real store over HTTP. Some
// records share a time, so that their ids order them.
func TestLinksLeadThroughAStore(t *testing.T) {
	const matching = 25
	var records []record.Record
	for i := range 2 * matching {
		records = append(records, builders.Audit(func(a *record.Audit) {
			a.Time = record.At(builders.Time().Add(-time.Duration(i/4) * time.Second))
			a.TargetID, a.UserID = fmt.Sprint(i), []string{"alice", "bob"}[i%2]
		}))
	}
	host := serve(t, records...)
	for _, path := range []string{
		"/v1/audits", "/apis/rest.auditquery.dev/v1/audits", "/apis/rest.auditquery.dev/v1/namespaces/shop/audits",
	} {
		t.Run(path, func(t *testing.T) {
			seen := map[string]int{}
			next := host + path + "?user_id=bob&limit=7&dt_from=yesterday"
			for next != "" {
				next = follow(t, http.DefaultClient, token, next, seen)
			}
			if len(seen) != matching {
				t.Errorf("%d records, want %d", len(seen), matching)
			}
			for id, times := range seen {
				if times != 1 {
					t.Errorf("record %s came %d times", id, times)
				}
			}
		})
	}
}

// follow reads a page, counts its records by id in seen, and returns the address
// of the next.
func follow(t *testing.T, client *http.Client, token, address string, seen map[string]int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Audits []*record.Audit }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("got %d: %v", response.StatusCode, err)
	}
	for _, a := range answer.Audits {
		seen[a.ID.String()]++
	}
	reference, ok := strings.CutSuffix(response.Header.Get("Link"), `>; rel="next"`)
	if !ok {
		return ""
	}
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	next, err := base.Parse(strings.TrimPrefix(reference, "<"))
	if err != nil {
		t.Fatal(err)
	}
	return next.String()
}
