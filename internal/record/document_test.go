package record

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// checkDocument holds the fast encoder to the one that it replaces.
func checkDocument(t *testing.T, r Record) {
	t.Helper()
	want, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(AppendDocument(nil, r))); diff != "" {
		t.Errorf("(-Encode +AppendDocument):\n%s", diff)
	}
}

func TestAppendDocumentWritesWhatEncodeWrites(t *testing.T) {
	tests := map[string]Record{
		"an empty audit":  &Audit{},
		"an empty login":  &AuthAudit{},
		"text to escape":  validAudit(func(a *Audit) { a.Description = "a\"b\\c\x00\x1f\n\t\u2028<>&é\U0001F600\x7f\uFFFD" }),
		"negative codes":  validAudit(func(a *Audit) { a.ResponseCode = math.MinInt64 }),
		"early instants":  validAudit(func(a *Audit) { a.Time = At(time.Date(999, 1, 2, 3, 4, 5, 6000, time.UTC)) }),
		"empty details":   validAudit(func(a *Audit) { a.Details = []byte(`{}`) }),
		"attributes":      validAudit(func(a *Audit) { a.Attributes = []Attribute{{}, {Type: "a"}, {Name: "b\"", OrgID: "c"}} }),
		"no attributes":   validAudit(func(a *Audit) { a.Attributes = []Attribute{} }),
		"details as they": validAudit(func(a *Audit) { a.Details = []byte(`{"n":1e400,"b":[1.50,"\u00e9"]}`) }),
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			before := r.Base().Time
			if before >= 0 {
				Normalize(r, ingested)
			}
			checkDocument(t, r)
		})
	}
}

func TestAppendDocumentWritesEveryField(t *testing.T) {
	for _, kind := range Kinds() {
		r := New(kind)
		for i, f := range Fields(kind) {
			fill(f.Pointer(r), i)
		}
		checkDocument(t, r)
	}
}

// fill gives a field a value of its own.
func fill(at any, i int) {
	switch p := at.(type) {
	case *string:
		*p = string(rune('A' + i))
	case *int64:
		*p = int64(i) + 400
	case *Timestamp:
		*p = Timestamp(i) * 1_000_001
	case *ID:
		p[15] = byte(i + 1)
	case *[]Attribute:
		*p = []Attribute{{Type: "t", ID: "i", OrgID: "o", Name: "n"}}
	default:
		if details, ok := at.(interface{ UnmarshalJSON([]byte) error }); ok {
			_ = details.UnmarshalJSON([]byte(`{"a":1}`))
		}
	}
}

func FuzzAppendDocument(f *testing.F) {
	f.Add("alice", "a \"b\"", []byte(`{"a":[1,2]}`), int64(200), int64(1_700_000_000_000_000))
	f.Add("\xff", "\x00", []byte(`[`), int64(-1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, user, name string, details []byte, code, micros int64) {
		a := validAudit(func(a *Audit) {
			a.UserID, a.Details, a.ResponseCode, a.Time = user, details, code, Timestamp(micros)
			a.Attributes = []Attribute{{Name: name}, {Type: user, ID: name}}
		})
		Normalize(a, ingested)
		checkDocument(t, a)
	})
}
