package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
)

func TestValuesAreCutOut(t *testing.T) {
	large := `"` + strings.Repeat("x", maxElementBytes) + `"`
	for name, test := range map[string]struct {
		input string
		want  []string
	}{
		"numbers":              {input: "1 -2.5e3", want: []string{"1", "-2.5e3"}},
		"words":                {input: "true\nnull", want: []string{"true", "null"}},
		"strings":              {input: `"a" "b\"]}" "\\"`, want: []string{`"a"`, `"b\"]}"`, `"\\"`}},
		"objects":              {input: `{"a":[{"]":1}]}{}`, want: []string{`{"a":[{"]":1}]}`, "{}"}},
		"lists":                {input: "[1,[2]] []", want: []string{"[1,[2]]", "[]"}},
		"nonsense in brackets": {input: "{oops}[]", want: []string{"{oops}", "[]"}},
		"one beside the other": {input: `1"a"`, want: []string{"1", `"a"`}},
		"a large one":          {input: large + "2", want: []string{large[:keptOfLarge], "2"}},
		"a large one at last":  {input: "1 " + large, want: []string{"1", large[:keptOfLarge]}},
	} {
		for reading, reader := range map[string]io.Reader{
			"at once": strings.NewReader(test.input), "byte by byte": iotest.OneByteReader(strings.NewReader(test.input)),
			"with the end": iotest.DataErrReader(strings.NewReader(test.input)),
		} {
			t.Run(name+" "+reading, func(t *testing.T) {
				s := newSplitter(reader)
				for _, want := range test.want {
					raw, _, err := s.value()
					if err != nil || string(raw) != want {
						t.Fatalf("got %.50q (%v), want %.50q", raw, err, want)
					}
				}
				if _, err := s.peek(); !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %v", err)
				}
				if s.offset() != int64(len(test.input)) {
					t.Errorf("offset %d of %d", s.offset(), len(test.input))
				}
			})
		}
	}
}

func TestTheBufferIsBounded(t *testing.T) {
	s := newSplitter(io.MultiReader(strings.NewReader(`"`), io.LimitReader(letters{}, 40<<20), strings.NewReader(`" {"after":1}`)))
	if raw, tooLarge, err := s.value(); err != nil || !tooLarge || len(raw) != keptOfLarge {
		t.Fatalf("%d bytes, %t, %v", len(raw), tooLarge, err)
	}
	if cap(s.buffer) > 4*maxElementBytes {
		t.Errorf("the buffer has %d bytes", cap(s.buffer))
	}
	if raw, _, err := s.value(); err != nil || string(raw) != `{"after":1}` {
		t.Errorf("afterwards %q, %v", raw, err)
	}
}

type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestAReadersFailureIsKept(t *testing.T) {
	failure := errors.New("broken wire")
	s := newSplitter(io.MultiReader(strings.NewReader(`{"a":`), iotest.ErrReader(failure)))
	if _, _, err := s.value(); !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
}

// FuzzSplitter compares with the standard decoder: whatever is valid JSON is cut
// into the same values.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{"1 2", `{"a":[1,"]"]} []`, `"\"" null`, "[[[[", `{"a":1}x`, "\xff\"", `{]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var got []string
		s := newSplitter(iotest.HalfReader(bytes.NewReader(input)))
		for {
			if _, err := s.peek(); err != nil {
				break
			}
			raw, tooLarge, err := s.value()
			if err != nil {
				break
			}
			if tooLarge || len(raw) == 0 {
				t.Fatalf("value %q, too large: %t", raw, tooLarge)
			}
			got = append(got, string(raw))
		}
		dec := json.NewDecoder(bytes.NewReader(input))
		for i := 0; ; i++ {
			var want json.RawMessage
			if err := dec.Decode(&want); err != nil {
				return
			}
			// What follows a number without space between is the splitter's to join.
			if i >= len(got) || got[i] != string(want) && !strings.HasPrefix(got[i], string(want)) {
				t.Fatalf("value %d is %q, want %q", i, got, want)
			}
			if got[i] != string(want) {
				return
			}
		}
	})
}

// FuzzBulkBody sends any bytes as a bulk body: each event is given once, in order,
// as a record or with what is wrong.
func FuzzBulkBody(f *testing.F) {
	f.Add([]byte(bulkOf(bulkItem("a"), bulkItem("b"))))
	f.Add([]byte(bulkOf(`5`, `{"unique_id":5}`, bulkItem("a", `{"kind":"AuthAudit","time":"2026-11-02T10:30:00Z"}`))))
	f.Add([]byte(`{"events":[` + bulkItem("a") + `,{"unique_id`))
	f.Add([]byte("{\"events\":[{\"unique_id\":\"a\xff\"}]}"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var whole, halves []bulkEvent
		collect := func(all *[]bulkEvent) func(bulkEvent) error {
			return func(e bulkEvent) error {
				if (e.record == nil) == (e.err == nil) {
					t.Fatalf("event %+v", e)
				}
				if e.index != len(*all) || len(e.uniqueID) > MaxUniqueID {
					t.Fatalf("event %d has the index %d", len(*all), e.index)
				}
				e.raw = bytes.Clone(e.raw)
				*all = append(*all, e)
				return nil
			}
		}
		err := readBulk(bytes.NewReader(input), collect(&whole))
		halfErr := readBulk(iotest.OneByteReader(bytes.NewReader(input)), collect(&halves))
		if (err == nil) != (halfErr == nil) || len(whole) != len(halves) {
			t.Fatalf("at once %d events (%v), byte by byte %d (%v)", len(whole), err, len(halves), halfErr)
		}
		var syntax *record.SyntaxError
		var form *bulkFormError
		if err != nil && !errors.As(err, &syntax) && !errors.As(err, &form) {
			t.Fatalf("the error is %T", err)
		}
		if err == nil && json.Valid(input) {
			compareBulk(t, input, whole)
		}
	})
}

// compareBulk compares the ids with what the standard decoder makes of the body.
func compareBulk(t *testing.T, input []byte, events []bulkEvent) {
	t.Helper()
	var plain struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(input, &plain); err != nil || len(plain.Events) != len(events) {
		return // names of another case, which only the standard decoder accepts
	}
	var got, want []string
	for i, raw := range plain.Events {
		var event struct {
			ID string `json:"unique_id"`
		}
		if json.Unmarshal(raw, &event) != nil || events[i].err != nil {
			continue
		}
		got, want = append(got, events[i].uniqueID), append(want, event.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("unique ids (-want +got):\n%s", cmp.Diff(want, got))
	}
}
