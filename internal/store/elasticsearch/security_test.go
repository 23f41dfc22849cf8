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
	eraserRole = `{"eraser":{"cluster":["manage_index_templates","monitor"],"indices":[` +
		`{"names":["x-*"],"privileges":["read","view_index_metadata","create_doc","create_index","delete","manage"]},` +
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

	for name, s := range map[string]*Store{"a reader": reader, "a writer": writer} {
		if _, err := eraseEvery(t, s, ofMonths(9, 10)); store.ReasonOf(err) != store.Unavailable {
			t.Errorf("%s could erase records: %v", name, err)
		}
		if _, err := s.EraseStretch(t.Context(), record.KindAudit, "x-audit-2026.09", nil); store.ReasonOf(err) != store.Unavailable {
			t.Errorf("%s could erase an index: %v", name, err)
		}
	}
	mustErase(t, open(eraserRole))

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

// mustErase uses all that an eraser may.
func mustErase(t *testing.T, eraser *Store) {
	t.Helper()
	if err := eraser.FinishErasing(t.Context()); err != nil {
		t.Errorf("finish: %v", err)
	}
	if _, err := eraser.WriteNote(t.Context(), "retention", []byte("text"), ""); err != nil {
		t.Errorf("a note: %v", err)
	}
	if stretches, err := eraser.Stretches(t.Context(), record.KindAudit); err != nil || len(stretches) != 2 {
		t.Errorf("stretches %v: %v", stretches, err)
	}
	if erased, err := eraseEvery(t, eraser, ofMonths(10, 11)); err != nil || erased != 1 {
		t.Errorf("erased %d records: %v", erased, err)
	}
	if err := eraser.Reclaim(t.Context()); err != nil {
		t.Errorf("reclaim: %v", err)
	}
	if got, err := eraser.EraseStretch(t.Context(), record.KindAudit, "x-audit-2026.09", nil); err != nil || got.Records != 1 {
		t.Errorf("erased %+v: %v", got, err)
	}
}
