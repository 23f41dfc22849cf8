package importer

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

func TestLinesAtTheBound(t *testing.T) {
	type seen struct {
		Number, Bytes, Kept int
		TooLong             bool
	}
	long := strings.Repeat("x", MaxLineBytes)
	tests := map[string]struct {
		text string
		want []seen
	}{
		"as long as can be":            {text: long, want: []seen{{1, MaxLineBytes, MaxLineBytes, false}}},
		"and ended":                    {text: long + "\n", want: []seen{{1, MaxLineBytes, MaxLineBytes, false}}},
		"and ended as on Windows":      {text: long + "\r\na", want: []seen{{1, MaxLineBytes, MaxLineBytes, false}, {2, 1, 1, false}}},
		"one byte longer":              {text: long + "x\na", want: []seen{{1, MaxLineBytes + 1, record.MaxExcerptBytes, true}, {2, 1, 1, false}}},
		"much longer, at the end":      {text: "a\n" + long + long, want: []seen{{1, 1, 1, false}, {2, 2 * MaxLineBytes, record.MaxExcerptBytes, true}}},
		"longer by what is no newline": {text: long + "\r\r\r\r\r\n", want: []seen{{1, MaxLineBytes + 6, record.MaxExcerptBytes, true}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines, err := newLineReader(iotest.HalfReader(strings.NewReader(test.text)))
			if err != nil {
				t.Fatal(err)
			}
			var got []seen
			for {
				l, err := lines.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, seen{l.number, l.bytes, len(l.data), l.tooLong})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOccurrencesAreBounded(t *testing.T) {
	id := func(n byte) record.ID { return record.ID{n} }
	count := func(window int, ids ...byte) []int {
		o := newOccurrences(window)
		var got []int
		for _, n := range ids {
			got = append(got, o.next(id(n)))
			if len(o.current) > window || len(o.previous) > window {
				t.Errorf("%d and %d are remembered", len(o.current), len(o.previous))
			}
		}
		return got
	}
	tests := map[string]struct {
		window int
		ids    []byte
		want   []int
	}{
		"equal ones are numbered":                  {window: 10, ids: []byte{1, 1, 2, 1, 2}, want: []int{0, 1, 0, 2, 1}},
		"beyond the window they are remembered":    {window: 2, ids: []byte{1, 2, 3, 1, 2}, want: []int{0, 0, 0, 1, 1}},
		"beyond two windows they are forgotten":    {window: 2, ids: []byte{1, 2, 3, 4, 5, 1}, want: []int{0, 0, 0, 0, 0, 0}},
		"one that keeps coming is never forgotten": {window: 2, ids: []byte{1, 2, 1, 3, 1, 4, 1, 5, 1}, want: []int{0, 0, 1, 0, 2, 0, 3, 0, 4}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, count(test.window, test.ids...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzDecodeLine(f *testing.F) {
	for _, seed := range []string{
		own("a"), `{"kind":"AuthAudit","time":"2026-11-02T10:00:00Z","details":{"a":[1,{}]}}`,
		`{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"a","stage":"Panic","requestReceivedTimestamp":"2026-11-02T10:00:00Z"}`,
		`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{},null,{"auditID":1}]}`,
		`{"kind":"Audit","time":"0001-01-01T00:00:00Z","audit_attributes":[{}]}`, "{", "", "\x00", `{"kind":"Audit","user_id":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found := decodeLine(data, record.KubernetesOptions{OwnCluster: "prod"})
		if len(found.records) == 0 && len(found.bad) == 0 && found.skipped == 0 && len(data) > 0 {
			// Only an empty list says nothing.
			if document, err := record.Sniff(data); err != nil || document != record.DocumentEventList {
				t.Errorf("%q was lost", data)
			}
		}
		i := importer{occurrences: newOccurrences(4)}
		for _, r := range found.records {
			if err := i.identify(r); err != nil {
				t.Errorf("%q has no identity: %v", data, err)
			}
			record.Normalize(r, builders.Time())
			encoded, err := record.Encode(r)
			if err != nil {
				t.Fatalf("%q cannot be encoded: %v", data, err)
			}
			if err := record.Decode(encoded, record.New(r.Kind())); err != nil {
				t.Errorf("%q cannot be read back: %v", data, err)
			}
		}
	})
}
