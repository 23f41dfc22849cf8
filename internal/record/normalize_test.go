package record

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

var ingested = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func validAudit(change func(*Audit)) *Audit {
	a := &Audit{
		Common: Common{
			ID: ContentID(KindAudit, []byte("x"), 0), Time: At(ingested), SourceType: SourceImport,
			OrgID: "acme", UserID: "alice", SourceIP: "192.0.2.3",
		},
		Action: "delete",
	}
	change(a)
	return a
}

func TestNormalizeTime(t *testing.T) {
	tests := map[string]struct {
		time         time.Time
		want         time.Time
		wantOriginal string
	}{
		"a past time stays":                     {time: ingested.AddDate(-5, 0, 0), want: ingested.AddDate(-5, 0, 0)},
		"the first instant of 1970 stays":       {time: time.Unix(0, 0), want: time.Unix(0, 0)},
		"a microsecond before 1970 is replaced": {time: time.UnixMicro(-1), want: ingested, wantOriginal: "1969-12-31T23:59:59.999999Z"},
		"an hour ahead stays":                   {time: ingested.Add(time.Hour), want: ingested.Add(time.Hour)},
		"a microsecond more is replaced": {
			time: ingested.Add(time.Hour + time.Microsecond), want: ingested, wantOriginal: "2026-11-24T11:00:00.000001Z",
		},
		"year 9999 is replaced": {
			time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), want: ingested, wantOriginal: "9999-01-01T00:00:00.000000Z",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := validAudit(func(a *Audit) { a.Time = At(test.time) })
			changes := Normalize(a, ingested)
			if a.Time != At(test.want) || changes.OriginalTime != test.wantOriginal {
				t.Errorf("time %s, original %q; want %s, %q", a.Time, changes.OriginalTime, At(test.want), test.wantOriginal)
			}
			if got := marks(t, a).OriginalTime; got != test.wantOriginal {
				t.Errorf("details keep the time %q, want %q", got, test.wantOriginal)
			}
			if a.IngestTime != At(ingested) {
				t.Errorf("ingest time %s, want %s", a.IngestTime, At(ingested))
			}
		})
	}
}

func TestNormalizeSourceIP(t *testing.T) {
	tests := map[string]struct{ ip, want, wantInvalid string }{
		"an IPv4 address stays":                {ip: "192.0.2.3", want: "192.0.2.3"},
		"a mapped address becomes IPv4":        {ip: "::ffff:192.0.2.3", want: "192.0.2.3"},
		"a zone is dropped":                    {ip: "fe80::1%eth0", want: "fe80::1"},
		"an IPv6 address gets its short form":  {ip: "2001:0DB8:0:0:0:0:0:1", want: "2001:db8::1"},
		"an absent address stays absent":       {},
		"what is no address becomes absent":    {ip: "10.0.0.300", wantInvalid: "10.0.0.300"},
		"an address with a port is no address": {ip: "10.0.0.1:80", wantInvalid: "10.0.0.1:80"},
		"a long text is kept in part":          {ip: strings.Repeat("é", 1000), wantInvalid: strings.Repeat("é", 128)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := validAudit(func(a *Audit) { a.SourceIP = test.ip })
			Normalize(a, ingested)
			if a.SourceIP != test.want {
				t.Errorf("address %q, want %q", a.SourceIP, test.want)
			}
			if got := marks(t, a).InvalidSourceIP; got != test.wantInvalid {
				t.Errorf("details keep %q, want %q", got, test.wantInvalid)
			}
		})
	}
}

func TestNormalizeText(t *testing.T) {
	tests := map[string]struct {
		value, want string
		wantCut     []string
	}{
		"at the limit nothing is cut":     {value: strings.Repeat("a", 8191), want: strings.Repeat("a", 8191)},
		"a byte over the limit is cut":    {value: strings.Repeat("a", 8192), want: strings.Repeat("a", 8191), wantCut: []string{"user_id"}},
		"a rune is not cut in two":        {value: strings.Repeat("a", 8190) + "é", want: strings.Repeat("a", 8190), wantCut: []string{"user_id"}},
		"64 kB of a user name are cut":    {value: strings.Repeat("é", 32<<10), want: strings.Repeat("é", 4095), wantCut: []string{"user_id"}},
		"invalid UTF-8 becomes U+FFFD":    {value: "a\xffb", want: "a\uFFFDb"},
		"NUL and controls stay":           {value: "a\x00\n", want: "a\x00\n"},
		"the replacement can force a cut": {value: strings.Repeat("a", 8190) + "\xff", want: strings.Repeat("a", 8190), wantCut: []string{"user_id"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := validAudit(func(a *Audit) { a.UserID = test.value })
			changes := Normalize(a, ingested)
			if a.UserID != test.want {
				t.Errorf("%d bytes kept, want %d", len(a.UserID), len(test.want))
			}
			if diff := cmp.Diff(test.wantCut, changes.Cut); diff != "" {
				t.Errorf("cut fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.wantCut, marks(t, a).Cut); diff != "" {
				t.Errorf("marks in details (-want +got):\n%s", diff)
			}
			canonical, err := NewSchema(KindAudit).Canonical("user_id", test.value)
			if err != nil || canonical != a.UserID {
				t.Errorf("a query for the original does not find the record: %v", err)
			}
		})
	}
}

func TestNormalizeAttributes(t *testing.T) {
	tests := map[string]struct {
		count   int
		want    int
		wantCut []string
	}{
		"none":                        {},
		"as many as fit":              {count: 100, want: 100},
		"one more is dropped":         {count: 101, want: 100, wantCut: []string{"audit_attributes"}},
		"ten thousand cost no record": {count: 10_000, want: 100, wantCut: []string{"audit_attributes"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := validAudit(func(a *Audit) {
				for i := range test.count {
					a.Attributes = append(a.Attributes, Attribute{Type: "host", ID: fmt.Sprint(i)}, Attribute{})
				}
			})
			changes := Normalize(a, ingested)
			if len(a.Attributes) != test.want {
				t.Errorf("%d attributes, want %d", len(a.Attributes), test.want)
			}
			if diff := cmp.Diff(test.wantCut, changes.Cut); diff != "" {
				t.Errorf("cut fields (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNormalizeDetails(t *testing.T) {
	filler := func(size int) string { return strings.Repeat("x", size-len(`{"a":""}`)) }
	tests := map[string]struct {
		details     string
		want        string
		wantDropped []string
	}{
		"absent stays absent":               {},
		"white space goes":                  {details: "{ \"a\" : 1 }", want: `{"a":1}`},
		"big numbers keep every digit":      {details: `{"n":12345678901234567890123}`, want: `{"n":12345678901234567890123}`},
		"the first of equal names stands":   {details: `{"a":1,"a":2,"b":{"c":1,"c":2}}`, want: `{"a":1,"b":{"c":1}}`},
		"a lone surrogate becomes U+FFFD":   {details: `{"a":"\ud800"}`, want: "{\"a\":\"\uFFFD\"}"},
		"invalid UTF-8 becomes U+FFFD":      {details: "{\"a\":\"\xff\"}", want: "{\"a\":\"\uFFFD\"}"},
		"a list becomes a member":           {details: `[1,2]`, want: `{"value":[1,2]}`},
		"a text becomes a member":           {details: `"a"`, want: `{"value":"a"}`},
		"what is not JSON becomes its text": {details: `{"a":`, want: `{"value":"{\"a\":"}`},
		"64 KiB fit":                        {details: `{"a":"` + filler(64<<10) + `"}`, want: `{"a":"` + filler(64<<10) + `"}`},
		"a byte more is dropped, its neighbour stays": {
			details: `{"a":"` + filler(64<<10+1) + `","b":1}`, wantDropped: []string{"a"},
			want: `{"b":1,"auditquery":{"cut":["details"],"dropped_details":["a"]}}`,
		},
		"100 deep fit":                {details: nested(100), want: nested(100)},
		"what is deeper becomes null": {details: nested(101), wantDropped: []string{"a"}, want: nestedNull()},
		"10,000 deep cost no neighbour": {
			details: `{"b":1,` + nested(9_999)[1:], wantDropped: []string{"a"},
			want: `{"b":1,` + nestedNull()[1:],
		},
		"deeper than any parser goes": {details: nested(10_001), wantDropped: []string{"value"}},
		"a sender's own mark stays":   {details: `{"auditquery":{"cut":["mine"]}}`, want: `{"auditquery":{"cut":["mine"]}}`},
		"a huge name is dropped": {
			details: `{"` + filler(70_000) + `":1}`, wantDropped: []string{strings.Repeat("x", 64) + "…"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := validAudit(func(a *Audit) { a.Details = []byte(test.details) })
			changes := Normalize(a, ingested)
			if test.want != "" || test.details == "" {
				if diff := cmp.Diff(test.want, string(a.Details)); diff != "" {
					t.Errorf("details (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(test.wantDropped, changes.DroppedDetails); diff != "" {
				t.Errorf("dropped (-want +got):\n%s", diff)
			}
			checkDetails(t, a)
		})
	}
}

func TestNormalizeIsIdempotent(t *testing.T) {
	a := validAudit(func(a *Audit) {
		a.UserID = strings.Repeat("é", 9000)
		a.SourceIP = strings.Repeat("\x01", 300)
		a.Time = At(ingested.AddDate(1, 0, 0))
		a.Details = []byte(`{"big":"` + strings.Repeat("x", 70_000) + `","auditquery":7}`)
	})
	Normalize(a, ingested)
	once, err := Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	if changes := Normalize(a, ingested); changes.Any() {
		t.Errorf("the second pass changed %+v", changes)
	}
	twice, err := Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(once), string(twice)); diff != "" {
		t.Errorf("the second pass changed the record:\n%s", diff)
	}
}

func TestSameContent(t *testing.T) {
	future := At(ingested.AddDate(1, 0, 0))
	tests := map[string]struct {
		first, second func(*Audit)
		want          bool
	}{
		"the same record later": {first: func(*Audit) {}, second: func(*Audit) {}, want: true},
		"another user":          {first: func(*Audit) {}, second: func(a *Audit) { a.UserID = "bob" }},
		"another time":          {first: func(*Audit) {}, second: func(a *Audit) { a.Time++ }},
		"a wrong clock, sent twice": {
			first: func(a *Audit) { a.Time = future }, second: func(a *Audit) { a.Time = future }, want: true,
		},
		"a wrong clock, another time": {
			first: func(a *Audit) { a.Time = future }, second: func(a *Audit) { a.Time = future + 1 },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var documents [][]byte
			for i, change := range []func(*Audit){test.first, test.second} {
				a := validAudit(change)
				Normalize(a, ingested.Add(time.Duration(i)*time.Minute))
				document, err := Encode(a)
				if err != nil {
					t.Fatal(err)
				}
				documents = append(documents, document)
			}
			got, err := SameContent(KindAudit, documents[0], documents[1])
			if err != nil || got != test.want {
				t.Errorf("same: %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func FuzzNormalizeDetails(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"a":2}`, `[`, `{"auditquery":{}}`, nested(101), "\xff", `{"a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, details []byte) {
		a := validAudit(func(a *Audit) { a.Details = details; a.SourceIP = "x" })
		Normalize(a, ingested)
		checkDetails(t, a)
		document, err := Encode(a)
		if err != nil {
			t.Fatal(err)
		}
		var back Audit
		if err := Decode(document, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, &back); diff != "" {
			t.Errorf("the record changed on its way through JSON:\n%s", diff)
		}
	})
}

// checkDetails asserts what every store relies on.
func checkDetails(t *testing.T, a *Audit) {
	t.Helper()
	if len(a.Details) == 0 {
		return
	}
	if len(a.Details) > MaxDetailsBytes {
		t.Errorf("details have %d bytes", len(a.Details))
	}
	var object map[string]any // the strict decoder: no duplicate names, valid UTF-8
	if err := json.Unmarshal(a.Details, &object); err != nil {
		t.Errorf("details are not a clean object: %v", err)
	}
	if !utf8.Valid(a.Details) {
		t.Error("details are not UTF-8")
	}
}

func marks(t *testing.T, a *Audit) Changes {
	t.Helper()
	var details struct {
		Marks Changes `json:"auditquery"`
	}
	if len(a.Details) > 0 {
		if err := json.Unmarshal(a.Details, &details); err != nil {
			t.Fatal(err)
		}
	}
	return details.Marks
}

// nested returns objects depth deep.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
}

func nestedNull() string {
	return strings.Repeat(`{"a":`, 100) + `null` + strings.Repeat(`}`, 99) +
		`,"auditquery":{"cut":["details"],"dropped_details":["a"]}}`
}
