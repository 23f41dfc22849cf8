package record

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mutations are data with small changes, as a seed has it: bytes flipped, doubled,
// dropped, and pieces of JSON put in.
func mutations(random *rand.Rand, data []byte, count int) [][]byte {
	pieces := []string{
		`"`, `\`, `\"`, `\u0041`, `\ud800`, `\n`, `\/`, "\n", " ", "\t", "\x00", "\xff", "é", "\u2028", "{}", "[]", "{", "}", "[", "]", ",", ":",
		"null", "true", "0", "-1", "1.50", "1e9", "01", "1.", `""`, `"a":1,`, `"kind":"Event",`, `{"a":{"a":1,"a":2}}`, `"stage":null,`,
	}
	out := make([][]byte, 0, count)
	for range count {
		changed := slices.Clone(data)
		for range 1 + random.IntN(3) {
			at := random.IntN(len(changed) + 1)
			end := min(len(changed), at+random.IntN(4))
			piece := pieces[random.IntN(len(pieces))]
			switch random.IntN(4) {
			case 0:
				changed = slices.Delete(changed, at, end)
			case 1:
				changed = slices.Insert(changed, at, changed[at:end]...)
			case 2:
				changed = slices.Replace(changed, at, end, []byte(piece)...)
			default:
				changed = slices.Insert(changed, at, []byte(piece)...)
			}
		}
		out = append(out, changed)
	}
	return out
}

func checkScannedEvent(t *testing.T, data []byte) bool {
	t.Helper()
	got, ok := scanEvent(data, DecodeLimits{}.withDefaults().Depth)
	if !ok {
		return false
	}
	want, err := decodeAnyEvent(data, DecodeLimits{}.withDefaults().Depth)
	if err != nil {
		t.Fatalf("%q was taken, but is wrong: %v", data, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-decoded +scanned):\n%s", data, diff)
	}
	return true
}

func TestScannedEventsAreWhatTheDecoderMakesOfThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	lines := realLines(t)
	for _, event := range metadataEvents() {
		lines = append(lines, []byte(event))
	}
	taken := 0
	for _, line := range lines {
		if !checkScannedEvent(t, line) {
			t.Errorf("a kube-apiserver's event is not taken: %s", line)
		}
		for _, changed := range mutations(random, line, 100) {
			if checkScannedEvent(t, changed) {
				taken++
			}
		}
	}
	if taken < len(lines)/2 {
		t.Errorf("only %d changed events were taken, which shows little", taken)
	}
}

func FuzzScanEvent(f *testing.F) {
	for _, line := range metadataEvents() {
		f.Add([]byte(line))
	}
	f.Add([]byte(`{"responseStatus":{"metadata":{},"details":{"name":"x","causes":[{"reason":"r"}]},"code":404},"requestObject":{"a":[1]}}`))
	f.Add([]byte(`{"user":{"extra":{"a":[],"":["b"]},"groups":[]},"annotations":{},"sourceIPs":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) { checkScannedEvent(t, data) })
}

// checkCanonical compares what is taken for canonical with what would be made of
// it.
func checkCanonical(t *testing.T, details []byte) bool {
	t.Helper()
	if !isCanonical(details) {
		return false
	}
	members := splitDetails(details)
	if !fits(members, MaxDetailsBytes) {
		t.Fatalf("%.500q is taken for canonical, but does not fit", details)
	}
	if want := joinDetails(members); !bytes.Equal(want, details) {
		t.Fatalf("%.500q is taken for canonical, but becomes %.500q", details, want)
	}
	return true
}

func TestCanonicalDetailsAreThoseThatNormalizingLeaves(t *testing.T) {
	nested := func(depth int) string {
		return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
	}
	sized := func(bytes int) string { return `{"a":"` + strings.Repeat("d", bytes-len(`{"a":""}`)) + `"}` }
	for name, test := range map[string]struct {
		details string
		want    bool
	}{
		"nothing in it":                 {`{}`, true},
		"values of each kind":           {`{"a":1.50,"b":-0,"c":[true,false,null,[]],"d":{"e":"é\"\\\n\t"}}`, true},
		"the deepest":                   {nested(MaxDetailsDepth), true},
		"too deep":                      {nested(MaxDetailsDepth + 1), false},
		"the longest":                   {sized(MaxDetailsBytes), true},
		"too long":                      {sized(MaxDetailsBytes + 1), false},
		"space":                         {`{"a": 1}`, false},
		"space behind it":               {`{"a":1} `, false},
		"a name twice":                  {`{"a":1,"a":2}`, false},
		"a name twice, far below":       {`{"b":[{"c":{"a":1,"x":1,"a":2}}]}`, false},
		"an escape that we don't write": {`{"a":"\u0041"}`, false},
		"an escaped name":               {`{"\u0061":1}`, false},
		"invalid UTF-8":                 {"{\"a\":\"\xff\"}", false},
		"no object":                     {`[]`, false},
		"no JSON":                       {`{"a"}`, false},
		"nothing":                       {``, false},
		"a number that is none":         {`{"a":01}`, false},
		"two values":                    {`{}{}`, false},
	} {
		if got := checkCanonical(t, []byte(test.details)); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	taken := 0
	for _, event := range realEvents(t) {
		records, _, err := KubernetesRecords(event, KubernetesOptions{OwnCluster: "local", StoreBodies: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			for _, changed := range mutations(random, r.Base().Details, 60) {
				if checkCanonical(t, changed) {
					taken++
				}
			}
		}
	}
	if taken == 0 {
		t.Error("nothing was taken, which shows little")
	}
}

func FuzzCanonicalDetails(f *testing.F) {
	f.Add([]byte(`{"a":1.50,"b":-0e+5,"c":[true,null,[]],"d":{"e":"é\"\\\n\t\u2028"}}`))
	f.Add([]byte("{\"\":\"\x7f\",\"a\":{\"a\":1,\"a\":2}}"))
	f.Fuzz(func(t *testing.T, details []byte) { checkCanonical(t, details) })
}

func checkScannedOwn(t *testing.T, data []byte) bool {
	t.Helper()
	got, ok := scanOwn(data)
	if !ok {
		return false
	}
	want, err := decodeAnyOwn(data)
	if err != nil {
		t.Fatalf("%q was taken, but is wrong: %v", data, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q (-decoded +scanned):\n%s", data, diff)
	}
	return true
}

func TestScannedRecordsAreWhatTheDecoderMakesOfThem(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	lines := append(ownLines(),
		`{"time":"2026-11-02T10:30:01+01:00","event_name":"Login"}`,
		` { "action" : "a\u00e9\n" , "time" : "2026-02-29T10:30:01.5Z" , "details" : { "a b" : [ 1 , { } ] } , "response_code" : -1 } `,
		`{"id":"000102030405060708090a0b0c0d0e0f","ingest_time":"2026-11-02T10:30:01Z","source_type":"x","time":"2026-11-02T10:30:01Z","kind":"Audit"}`,
		`{"kind":"Audit","time":"2026-11-02T10:30:01.000001Z","audit_attributes":[],"details":{},"user_id":null}`)
	taken := 0
	for i, line := range lines {
		if ok := checkScannedOwn(t, []byte(line)); !ok && i != 3 { // no February has 29 days in 2026
			t.Errorf("a usual record is not taken: %s", line)
		}
		for _, changed := range mutations(random, []byte(line), 300) {
			if checkScannedOwn(t, changed) {
				taken++
			}
		}
	}
	if taken < 50 {
		t.Errorf("only %d changed records were taken, which shows little", taken)
	}
}

func FuzzScanOwn(f *testing.F) {
	for _, line := range ownLines() {
		f.Add([]byte(line))
	}
	f.Add([]byte(` { "time" : "2026-02-28T10:30:01.5Z" , "action" : "a\u00e9\n" , "details" : { "a b" : [ 1 , { } ] } , "response_code" : -1 } `))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkScannedOwn(t, data)
		r, err := DecodeOwn(data)
		if err != nil {
			return
		}
		checkCanonicalContent(t, r)
	})
}

// checkCanonicalContent compares the content that an identity is made of with
// what the encoder makes of it.
func checkCanonicalContent(t *testing.T, r Record) {
	t.Helper()
	got, gotErr := Canonical(r)
	base := r.Base()
	base.ID, base.IngestTime = ID{}, 0
	want, wantErr := Encode(r)
	if string(got) != string(want) || (gotErr == nil) != (wantErr == nil) {
		t.Fatalf("the content is %q (%v), want %q (%v)", got, gotErr, want, wantErr)
	}
}

func TestTheContentOfAnIdentityIsWhatTheEncoderWrites(t *testing.T) {
	for name, change := range map[string]func(*Audit){
		"as it was sent":      func(*Audit) {},
		"invalid UTF-8":       func(a *Audit) { a.UserID, a.Attributes = "a\xff\"", []Attribute{{Name: "\xff"}, {}} },
		"details with space":  func(a *Audit) { a.Details = []byte(`{ "a": [1] }`) },
		"a name twice":        func(a *Audit) { a.Details = []byte(`{"a":1,"a":2}`) },
		"escapes":             func(a *Audit) { a.Details = []byte(`{"a":"\u0041\/\n"}`) },
		"empty details":       func(a *Audit) { a.Details = []byte(`{}`) },
		"no details":          func(a *Audit) { a.Details = nil },
		"details of no bytes": func(a *Audit) { a.Details = []byte{} },
		"a time of long ago":  func(a *Audit) { a.Time = -62_135_596_800_000_000 },
	} {
		t.Run(name, func(t *testing.T) {
			a := validAudit(change)
			a.ID[3], a.IngestTime = 7, 8
			id, ingest := a.ID, a.IngestTime
			if _, err := Canonical(a); a.ID != id || a.IngestTime != ingest {
				t.Errorf("the record has changed (%v)", err)
			}
			checkCanonicalContent(t, a)
		})
	}
}
