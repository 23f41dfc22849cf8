package elasticsearch

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/test/elastic"
)

// The roles that the documentation tells an operator to make.
const (
	readerRole = `{"reader":{"indices":[{"names":["x-*"],"privileges":["read","view_index_metadata"]}]}}`
	writerRole = `{"writer":{"cluster":["manage_index_templates"],"indices":[` +
		`{"names":["x-*"],"privileges":["read","view_index_metadata","create_doc","create_index"]},` +
		`{"names":["x-state"],"privileges":["index"]}]}}`
	otherRole = `{"other":{"indices":[{"names":["y-*"],"privileges":["all"]}]}}`
)

// TestRolesOverTLS needs an Elasticsearch of its own, with security.
func TestRolesOverTLS(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts another Elasticsearch")
	}
	cluster := elastic.StartForTest(t, elastic.Options{Security: true})
	open := func(role string) *Store {
		t.Helper()
		key, err := cluster.CreateAPIKey(t.Context(), "key", json.RawMessage(role))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), Options{IndexPrefix: "x", Connection: Connection{URLs: cluster.URLs(), APIKey: key, CA: cluster.CAPEM()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	writer, reader, other := open(writerRole), open(readerRole), open(otherRole)

	mustAppend(t, writer, inMonth(9), inMonth(10))
	outcomes, err := writer.Append(t.Context(), []record.Record{inMonth(9)})
	if err != nil || outcomes[0].Result != store.Duplicate {
		t.Errorf("the record again was %v, %v", outcomes, err)
	}
	if _, err := cluster.Do(t.Context(), http.MethodPost, "/x-*/_refresh", nil); err != nil {
		t.Fatal(err)
	}
	mustList(t, reader, ofMonths(8, 11), 2)
	mustList(t, reader, ofMonths(1, 2), 0)

	outcomes, err = reader.Append(t.Context(), []record.Record{inMonth(11)})
	if store.ReasonOf(err) != store.Unavailable || outcomes[0].Result != store.Failed {
		t.Errorf("a reader's record was %v, %v", outcomes, err)
	}
	_, err = other.List(t.Context(), query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: 1})
	mustRefuse(t, err, store.Unavailable, privileges)

	untrusting, err := Open(t.Context(), Options{IndexPrefix: "x", MaxRetries: -1, Connection: Connection{
		URLs: cluster.URLs(), Username: cluster.Username(), Password: cluster.Password()}})
	if err != nil {
		t.Fatal(err)
	}
	defer untrusting.Close()
	if _, err := untrusting.List(t.Context(), allAudits(1)); store.ReasonOf(err) != store.Unavailable {
		t.Errorf("an unknown authority: %v", fmt.Sprint(err))
	}
}
