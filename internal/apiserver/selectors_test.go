package apiserver

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"auditquery.dev/auditquery/internal/apiserver/registry"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/tenancy"
)

// fieldSelector is the query string of a field selector.
func fieldSelector(s string) string { return "?fieldSelector=" + url.QueryEscape(s) }

func TestFieldSelectorsArePushedDown(t *testing.T) {
	const id = "00112233445566778899aabbccddeeff"
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		path     string // default: audits of shop
		selector string
		want     query.Query // Kind, Scope and Limit are filled in
	}{
		"none":               {},
		"equal":              {selector: "action=delete", want: query.Query{Filter: query.Equal{Field: "action", Value: "delete"}}},
		"equal, with ==":     {selector: "userID==alice", want: query.Query{Filter: query.Equal{Field: "user_id", Value: "alice"}}},
		"not equal":          {selector: "outcome!=Success", want: query.Query{Filter: query.Not{Filter: query.Equal{Field: "outcome", Value: "Success"}}}},
		"empty":              {selector: "targetResourceName=", want: query.Query{Filter: query.Not{Filter: query.Exists{Field: "target_resource_name"}}}},
		"not empty":          {selector: "targetResourceName!=", want: query.Query{Filter: query.Not{Filter: query.Not{Filter: query.Exists{Field: "target_resource_name"}}}}},
		"a number":           {selector: "responseCode=0403", want: query.Query{Filter: query.Equal{Field: "response_code", Value: "403"}}},
		"an address":         {selector: "sourceIP=::ffff:192.0.2.7", want: query.Query{Filter: query.Equal{Field: "source_ip", Value: "192.0.2.7"}}},
		"a block":            {selector: "sourceIP=10.1.2.3/8", want: query.Query{Filter: query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.0.0.0/8")}}},
		"not in a block":     {selector: "sourceIP!=10.0.0.0/8", want: query.Query{Filter: query.Not{Filter: query.CIDR{Field: "source_ip", Net: netip.MustParsePrefix("10.0.0.0/8")}}}},
		"words":              {selector: "text=Web shop", want: query.Query{Filter: query.Text{Words: []string{"shop", "web"}}}},
		"escaped":            {selector: `userID=a\,b\=c\\d`, want: query.Query{Filter: query.Equal{Field: "user_id", Value: `a,b=c\d`}}},
		"a name":             {selector: "metadata.name=" + id, want: query.Query{Filter: query.Equal{Field: "id", Value: id}}},
		"an impossible name": {selector: "metadata.name=web", want: query.Query{Filter: query.Or{}}},
		"its own namespace":  {selector: "metadata.namespace=shop"},
		"another namespace":  {selector: "metadata.namespace=bank", want: query.Query{Filter: query.Or{}}},
		"one namespace of all": {
			path: allAudits, selector: "metadata.namespace=bank,action=get",
			want: query.Query{Scope: scopeOf("bank"), Filter: query.Equal{Field: "action", Value: "get"}},
		},
		"all namespaces":      {path: allAudits, want: query.Query{Scope: query.All()}},
		"a missing namespace": {path: recordsPath + "/namespaces/none/audits", want: query.Query{Scope: tenancy.Nothing("none")}},
		"several": {
			selector: "action=delete,userID!=alice",
			want: query.Query{Filter: query.And{
				query.Equal{Field: "action", Value: "delete"}, query.Not{Filter: query.Equal{Field: "user_id", Value: "alice"}},
			}},
		},
		"a window":             {selector: "from=yesterday,to=now-1h", want: query.Query{From: day, To: now().Add(-time.Hour)}},
		"a window of instants": {selector: "from=2026-11-23T01:00:00+01:00", want: query.Query{From: day}},
		"a login": {
			path: recordsPath + "/namespaces/shop/authaudits", selector: "eventName=Token Exchange",
			want: query.Query{Kind: record.KindAuthAudit, Filter: query.Equal{Field: "event_name", Value: "Token Exchange"}},
		},
	}
	s := start(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := shopAudits
			if test.path != "" {
				path = test.path
			}
			if a := s.get(path + fieldSelector(test.selector)); a.code != http.StatusOK {
				t.Fatalf("%d %s", a.code, a.body)
			}
			want := test.want
			want.Limit = query.MaxLimit
			if want.Kind == "" {
				want.Kind = record.KindAudit
			}
			if want.Scope.Name == "" {
				want.Scope = scopeOf("shop")
			}
			if diff := cmp.Diff(want, s.reader.lastAsked(t), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryFieldLabelIsTaken(t *testing.T) {
	s := start(t)
	values := map[string]string{
		"id": "00112233445566778899aabbccddeeff", "time": "2026-11-01T10:00:00Z", "ingestTime": "2026-11-01T10:00:00Z",
		"responseCode": "200", "sourceIP": "192.0.2.1", "from": "now-1h", "metadata.namespace": "shop",
	}
	for resource, kind := range map[string]record.Kind{"audits": record.KindAudit, "authaudits": record.KindAuthAudit} {
		for _, label := range registry.FieldLabels(kind) {
			value := "x"
			if v, ok := values[label]; ok {
				value = v
			}
			if label == "to" {
				value = "now"
			}
			if a := s.get(recordsPath + "/namespaces/shop/" + resource + fieldSelector(label+"="+value)); a.code != http.StatusOK {
				t.Errorf("%s of %s: %d %s", label, resource, a.code, a.body)
			}
		}
	}
}

func TestLabelSelectorsArePushedDown(t *testing.T) {
	outcome := func(values ...string) query.Filter {
		if len(values) == 1 {
			return query.Equal{Field: "outcome", Value: values[0]}
		}
		return query.AnyOf{Field: "outcome", Values: values}
	}
	tests := map[string]struct {
		selector string
		want     query.Filter
	}{
		"equal":     {selector: "auditquery.dev/outcome=Denied", want: outcome("Denied")},
		"not equal": {selector: "auditquery.dev/outcome!=Denied", want: query.Not{Filter: outcome("Denied")}},
		"in":        {selector: "auditquery.dev/outcome in (Failure,Denied)", want: outcome("Denied", "Failure")},
		"notin":     {selector: "auditquery.dev/outcome notin (Failure,Denied)", want: query.Not{Filter: outcome("Denied", "Failure")}},
		"both labels": {
			selector: "auditquery.dev/actor-type=Node,auditquery.dev/outcome=Denied",
			want:     query.And{query.Equal{Field: "actor_type", Value: "Node"}, outcome("Denied")},
		},
	}
	s := start(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if a := s.get(shopAudits + "?labelSelector=" + url.QueryEscape(test.selector)); a.code != http.StatusOK {
				t.Fatalf("%d %s", a.code, a.body)
			}
			if diff := cmp.Diff(test.want, s.reader.lastAsked(t).Filter); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	s.get(recordsPath + "/authaudits?labelSelector=" + url.QueryEscape("auditquery.dev/outcome=Denied"))
	if diff := cmp.Diff(query.Filter(query.Equal{Field: "result", Value: "Denied"}), s.reader.lastAsked(t).Filter); diff != "" {
		t.Errorf("a login's outcome is its result (-want +got):\n%s", diff)
	}
}

func TestListsThatCannotBeAnswered(t *testing.T) {
	known := "actorType, apiName, cluster"
	tests := map[string]struct {
		query string
		want  string // in the message
	}{
		"an unknown field":           {query: fieldSelector("spec.nodeName=x"), want: known},
		"a stored name":              {query: fieldSelector("user_id=alice"), want: `"user_id" is not a field label`},
		"a login's field":            {query: fieldSelector("issuer=x"), want: `"issuer" is not a field label`},
		"a field that has no filter": {query: fieldSelector("details=x"), want: `"details" is not a field label`},
		"a word for a number":        {query: fieldSelector("responseCode=no"), want: "responseCode: \"no\" is not a whole number"},
		"no address":                 {query: fieldSelector("sourceIP=localhost"), want: "sourceIP: \"localhost\" is neither an IP address"},
		"no block":                   {query: fieldSelector("sourceIP=10.0.0.0/99"), want: "is not a CIDR block"},
		"text without a word":        {query: fieldSelector("text=-"), want: "text: "},
		"a bad beginning":            {query: fieldSelector("from=now-1fortnight"), want: "from: invalid time"},
		"an empty beginning":         {query: fieldSelector("from="), want: "from is empty"},
		"not a beginning":            {query: fieldSelector("from!=now"), want: "from is one end of the time window and takes = only"},
		"two beginnings":             {query: fieldSelector("from=now-1h,from=now-2h"), want: "from is given twice"},
		"the end before the start":   {query: fieldSelector("from=now,to=now-1h"), want: "is not before to"},
		"a namespace's complement":   {query: fieldSelector("metadata.namespace!=shop"), want: "metadata.namespace takes = only"},
		"an unknown label":           {query: "?labelSelector=app%3Dweb", want: "auditquery.dev/actor-type and auditquery.dev/outcome"},
		"a label's existence":        {query: "?labelSelector=auditquery.dev/outcome", want: "takes =, !=, in and notin"},
		"an empty label":             {query: "?labelSelector=auditquery.dev/outcome%3D", want: "is never empty"},
		"a negative limit":           {query: "?limit=-1", want: "limit is negative"},
		"one version exactly":        {query: "?resourceVersion=7&resourceVersionMatch=Exact", want: "records have no versions"},
		"a token that is none":       {query: "?continue=abc", want: "the continue token is refused"},
	}
	s := start(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := s.get(shopAudits + test.query)
			var status metav1.Status
			if err := json.Unmarshal(a.body, &status); err != nil {
				t.Fatalf("%v: %s", err, a.body)
			}
			if a.code != http.StatusBadRequest || status.Reason != metav1.StatusReasonBadRequest || !strings.Contains(status.Message, test.want) {
				t.Errorf("%d %s: %s\nwant %s", a.code, status.Reason, status.Message, test.want)
			}
			if len(s.reader.asked) > 0 {
				t.Errorf("the store was asked: %v", s.reader.asked)
			}
		})
	}
	a := s.get(shopAudits + fieldSelector("nothing=x"))
	for _, label := range registry.FieldLabels(record.KindAudit) {
		if !strings.Contains(string(a.body), label) {
			t.Errorf("%s is not among what is named: %s", label, a.body)
		}
	}
	if !slices.IsSorted(registry.FieldLabels(record.KindAudit)) {
		t.Error("labels are looked up by halving, and are not sorted")
	}
}
