package registry

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// full returns an audit whose every text field is its own name, with characters
// that JSON escapes.
func full(r record.Record) record.Record {
	for _, f := range record.Fields(r.Kind()) {
		if p, ok := f.Pointer(r).(*string); ok && f.Name != "source_ip" {
			*p = f.Name + " \"<&>\\ \u2028 ü"
		}
	}
	base := r.Base()
	base.SourceIP = "2001:db8::1"
	base.Details = []byte(`{"a":[1,{"b":null}],"audit_attributes":"c"}`)
	return r
}

func shapeOf(t *testing.T, kind record.Kind) shape {
	t.Helper()
	if kind == record.KindAudit {
		s, err := NewAudits(dependencies())
		if err != nil {
			t.Fatal(err)
		}
		return s.shape
	}
	s, err := NewAuthAudits(dependencies())
	if err != nil {
		t.Fatal(err)
	}
	return s.shape
}

func TestSplicedListsSayWhatDecodedOnesSay(t *testing.T) {
	tests := map[string]struct {
		records []record.Record
		head    head
	}{
		"nothing":              {},
		"an audit with labels": {records: []record.Record{builders.Audit()}},
		"several audits": {records: []record.Record{
			builders.Audit(),
			builders.Audit(func(a *record.Audit) { a.Attributes = nil; a.ActorType = ""; a.Outcome = "no label" }),
			builders.Audit(func(a *record.Audit) { a.OrgID = `quoted"\` }),
		}},
		"every field of an audit": {records: []record.Record{full(builders.Audit(func(a *record.Audit) {
			a.Attributes = []record.Attribute{{Type: "only"}, {}, {ID: "i", OrgID: "o", Name: "n", Type: "t"}}
		}))}},
		"logins":              {records: []record.Record{builders.AuthAudit(), full(builders.AuthAudit())}},
		"a list that goes on": {records: []record.Record{builders.Audit()}, head: head{ListMeta: metav1.ListMeta{Continue: "token"}}},
		"a list that is cut off": {records: []record.Record{builders.AuthAudit()}, head: head{truncation: &v1alpha1.Truncation{
			Reason: v1alpha1.TruncatedWithoutWindow, Oldest: microTime(record.At(builders.Time())), Continue: "more",
		}}},
	}
	namespaceOf := func(r *record.Common) (string, error) {
		return "of-" + r.OrgID + r.SourceType + r.Cluster + r.Time.String(), nil
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			kind := record.KindAudit
			if len(test.records) > 0 {
				kind = test.records[0].Kind()
			}
			s := shapeOf(t, kind)
			var documents [][]byte
			var namespaces []string
			for _, r := range test.records {
				document, err := record.Encode(r)
				if err != nil {
					t.Fatal(err)
				}
				documents = append(documents, document)
				namespace, _ := namespaceOf(r.Base())
				namespaces = append(namespaces, namespace)
			}
			sp, err := newSplicer(s)
			if err != nil {
				t.Fatal(err)
			}
			spliced, err := sp.list(test.head, documents, namespaceOf)
			if err != nil {
				t.Fatal(err)
			}
			decoded := s.list(test.head, test.records, namespaces)
			decoded.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(s.listKind))
			typed, err := json.Marshal(decoded)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(generic(t, typed), generic(t, spliced)); diff != "" {
				t.Errorf("(-decoded +spliced):\n%s", diff)
			}
			again := s.newList()
			if err := json.Unmarshal(spliced, again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded, again, cmpopts.EquateEmpty(), cmp.Comparer(sameTime)); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func sameTime(a, b metav1.Time) bool { return a.Unix() == b.Unix() }

func generic(t *testing.T, data []byte) any {
	t.Helper()
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	return out
}

func TestDocumentsThatCannotBeSpliced(t *testing.T) {
	whole := string(must(record.Encode(builders.Audit())))
	tests := map[string]string{
		"an empty one":            "",
		"half a document":         whole[:len(whole)/2],
		"all but the last brace":  whole[:len(whole)-1],
		"something behind it":     whole + "{}",
		"a list":                  "[]",
		"one without id and time": `{"action":"get"}`,
		"an id that is none":      `{"id":"x","time":"2026-11-01T10:00:00.000000Z"}`,
		"attributes as a text":    strings.Replace(whole, `"audit_attributes":[`, `"audit_attributes":"x","x":[`, 1),
		"a bare value":            `{"id":}`,
	}
	sp := must(newSplicer(shapeOf(t, record.KindAudit)))
	for name, document := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := sp.list(head{}, [][]byte{[]byte(whole), []byte(document)}, func(*record.Common) (string, error) { return "shop", nil })
			if err == nil {
				t.Errorf("spliced: %s", out)
			}
		})
	}
	failure := errors.New("not known")
	if _, err := sp.list(head{}, [][]byte{[]byte(whole)}, func(*record.Common) (string, error) { return "", failure }); !errors.Is(err, failure) {
		t.Errorf("a namespace that is not known: %v", err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestServedFieldsAreThoseOfTheModel(t *testing.T) {
	for kind, object := range map[record.Kind]runtime.Object{record.KindAudit: &v1alpha1.Audit{}, record.KindAuthAudit: &v1alpha1.AuthAudit{}} {
		want := map[string]bool{}
		for _, f := range record.Fields(kind) {
			want[f.CamelName] = true
		}
		got := map[string]bool{}
		for _, name := range jsonNames(object) {
			if name != "" && name != "metadata" {
				got[name] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-model +served):\n%s", kind, diff)
		}
	}
}

func BenchmarkSplice500(b *testing.B) {
	s, err := NewAudits(dependencies())
	if err != nil {
		b.Fatal(err)
	}
	var documents [][]byte
	for range 500 {
		documents = append(documents, must(record.Encode(builders.Audit(func(a *record.Audit) {
			a.Time = record.At(builders.Time().Add(time.Second))
			a.Details = []byte(`{"level":"Metadata","stage":"ResponseComplete","groups":["system:authenticated"],"requestURI":"/apis/apps/v1/namespaces/shop/deployments/web","decision":"allow"}`)
		}))))
	}
	namespaceOf := func(*record.Common) (string, error) { return "shop", nil }
	b.Run("splice", func(b *testing.B) {
		for range b.N {
			if _, err := s.splicer.list(head{}, documents, namespaceOf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode and encode", func(b *testing.B) {
		for range b.N {
			records, err := record.DecodeAll(record.KindAudit, documents)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(s.shape.list(head{}, records, make([]string, len(records)))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
