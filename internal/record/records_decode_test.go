package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func ownAudit(user string) string {
	return `{"kind":"Audit","time":"2026-11-02T10:30:00Z","user_id":"` + user + `"}`
}

func fullEvent(id string) string {
	return `{"kind":"Event","apiVersion":"audit.k8s.io/v1","auditID":"` + id + `"}`
}

// told decodes a body and writes each item in a few words.
func told(r io.Reader, limits DecodeLimits) (items []string, err error) {
	err = DecodeRecords(r, limits, func(item DecodedRecord) error {
		text := fmt.Sprint(item.Err)
		switch {
		case item.Record != nil:
			text = string(item.Record.Kind()) + " " + item.Record.Base().UserID
		case item.Event != nil:
			text = "Event " + string(item.Event.AuditID)
		}
		items = append(items, fmt.Sprintf("%d %s", item.Index, text))
		return nil
	})
	return items, err
}

// pretty spreads JSON over lines.
func pretty(data string) string { return strings.NewReplacer(",", ",\n  ", "{", "{\n  ").Replace(data) }

func TestDecodeRecords(t *testing.T) {
	a, b, c, event := ownAudit("a"), ownAudit("b"), ownAudit("c"), fullEvent("e")
	list := eventList(`{"auditID":"x"}`, "1", `{"auditID":"y"}`)
	login := `{"kind":"AuthAudit","time":"2026-11-02T10:30:00Z","user_id":"l"}`
	cut := a[:40]
	limits := DecodeLimits{EventBytes: 300, Depth: 20, Events: 8}
	for name, test := range map[string]struct {
		body      string
		want      []string
		wantError string
	}{
		"nothing":                         {body: ""},
		"only space":                      {body: " \r\n\t\n"},
		"JSON lines":                      {body: a + "\n" + login + "\n" + event + "\n", want: []string{"0 Audit a", "1 AuthAudit l", "2 Event e"}},
		"lines without an end":            {body: a + "\n" + b, want: []string{"0 Audit a", "1 Audit b"}},
		"lines of Windows":                {body: a + "\r\n\r\n" + b + "\r\n", want: []string{"0 Audit a", "1 Audit b"}},
		"values without space between":    {body: a + b + event + c, want: []string{"0 Audit a", "1 Audit b", "2 Event e", "3 Audit c"}},
		"values on several lines":         {body: pretty(a) + "\n" + pretty(b) + c, want: []string{"0 Audit a", "1 Audit b", "2 Audit c"}},
		"an array":                        {body: " [" + a + ",\n" + event + ", " + login + "] \n", want: []string{"0 Audit a", "1 Event e", "2 AuthAudit l"}},
		"an empty array":                  {body: "[]"},
		"a list of events":                {body: list, want: []string{"0 Event x", "1 malformed audit event: the event is no object", "2 Event y"}},
		"lists of events among others":    {body: a + "\n" + list + "\n" + b, want: []string{"0 Audit a", "1 Event x", "2 malformed audit event: the event is no object", "3 Event y", "4 Audit b"}},
		"a list of events in an array":    {body: "[" + list + "," + b + "]", want: []string{"0 Event x", "1 malformed audit event: the event is no object", "2 Event y", "3 Audit b"}},
		"a list whose items are none":     {body: `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":1}` + "\n" + b, want: []string{"0 not an EventList of audit.k8s.io/v1: items is no array", "1 Audit b"}},
		"a wrong type":                    {body: a + "\n" + `{"kind":"Audit","user_id":1}` + "\n" + b, want: []string{"0 Audit a", "1 user_id must be a string", "2 Audit b"}},
		"a wrong type in an array":        {body: `[{"kind":"Audit","user_id":1},` + b + "]", want: []string{"0 user_id must be a string", "1 Audit b"}},
		"an unknown document":             {body: `{"kind":"Pod"}` + b, want: []string{`0 unknown document: kind is "Pod"; it can be Audit, AuthAudit, or Event or EventList of audit.k8s.io/v1`, "1 Audit b"}},
		"values that are no objects":      {body: a + "\n1\n\"x\"\n[" + b + "]\nnull\n" + c, want: []string{"0 Audit a", "1 unknown document: it is no JSON object", "2 unknown document: it is no JSON object", "3 unknown document: it is no JSON object", "4 unknown document: it is no JSON object", "5 Audit c"}},
		"a malformed event":               {body: `{"kind":"Event","apiVersion":"audit.k8s.io/v1","user":1}` + "\n" + a, want: []string{"0 malformed audit event: user is of the wrong type", "1 Audit a"}},
		"garbage between lines":           {body: a + "\nhello\n" + b, want: []string{"0 Audit a", fmt.Sprintf("1 invalid JSON after %d bytes", len(a)+1), "2 Audit b"}},
		"garbage behind a value":          {body: a + " hello " + b + "\n" + c, want: []string{"0 Audit a", fmt.Sprintf("1 invalid JSON after %d bytes", len(a)+1), "2 Audit c"}},
		"a line that is cut off":          {body: a + "\n" + cut + "\n" + b + "\n" + c, want: []string{"0 Audit a", fmt.Sprintf("1 invalid JSON after %d bytes", len(a)+1+len(cut)), "2 Audit b", "3 Audit c"}},
		"a line cut between members":      {body: `{"kind":"Audit",` + "\n" + b + "\n" + pretty(c), want: []string{"0 invalid JSON after 17 bytes", "1 Audit b", "2 Audit c"}},
		"a line that begins a list":       {body: a + "\n{\"a\":[\n" + b + "\n" + c, want: []string{"0 Audit a", fmt.Sprintf("1 invalid JSON after %d bytes", len(a)+8+len(b)+1), "2 Audit b", "3 Audit c"}},
		"the first line is cut off":       {body: cut + "\n" + b + "\n" + c, want: []string{fmt.Sprintf("0 invalid JSON after %d bytes", len(cut)), "1 Audit b", "2 Audit c"}},
		"the last line is cut off":        {body: a + "\n" + cut, want: []string{"0 Audit a", fmt.Sprintf("1 JSON ends too early, after %d bytes", len(a)+1+len(cut))}},
		"a line that is too long":         {body: a + "\n{\"x\":\"" + strings.Repeat("x", 400) + "\"}\n" + b, want: []string{"0 Audit a", "1 audit event is too large: more than 300 bytes", "2 Audit b"}},
		"a line that is far too long":     {body: a + "\n{\"x\":\"" + strings.Repeat("x", 400_000) + "\"}\n" + b, want: []string{"0 Audit a", "1 audit event is too large: more than 300 bytes", "2 Audit b"}},
		"a value of an array is too long": {body: "[" + a + ",{\"x\":\"" + strings.Repeat("x", 4000) + "\"}," + b + "]", want: []string{"0 Audit a", "1 audit event is too large: more than 300 bytes", "2 Audit b"}},
		"garbage in an array":             {body: "[" + a + ",!," + b + "]", want: []string{"0 Audit a"}, wantError: fmt.Sprintf("invalid JSON after %d bytes", len(a)+2)},
		"an array that is cut off":        {body: " [" + a + "," + cut, want: []string{"0 Audit a"}, wantError: fmt.Sprintf("JSON ends too early, after %d bytes", 2+len(a)+1+len(cut))},
		"text behind an array":            {body: "[" + a + "] x", want: []string{"0 Audit a"}, wantError: fmt.Sprintf("invalid JSON after %d bytes", len(a)+3)},
		"too many":                        {body: strings.Repeat(a+"\n", 9), want: []string{"0 Audit a", "1 Audit a", "2 Audit a", "3 Audit a", "4 Audit a", "5 Audit a", "6 Audit a", "7 Audit a"}, wantError: "too many events in one list: at most 8"},
		"too many in an array":            {body: "[" + strings.Repeat("1,", 8) + "1]", want: slicesOf(8, "unknown document: it is no JSON object"), wantError: "too many events in one list: at most 8"},
		"too many in a list":              {body: a + a + eventList("1", "1", "1", "1", "1", "1", "1"), want: append([]string{"0 Audit a", "1 Audit a"}, slicesOf(8, "malformed audit event: the event is no object")[2:]...), wantError: "too many events in one list: at most 8"},
		"an event that is too deep":       {body: `{"kind":"Event","apiVersion":"audit.k8s.io/v1","requestObject":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "}\n" + a, want: []string{"0 audit event nests too deep: more than 20 levels", "1 Audit a"}},
		"a record of ours may be deeper":  {body: `{"kind":"Audit","time":"2026-11-02T10:30:00Z","details":{"a":` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "}}", want: []string{"0 Audit "}},
		"a record that nobody can read":   {body: strings.Repeat("[", 20_000) + "\n" + a, wantError: "invalid JSON after 10000 bytes"},
		"a line that nobody can read":     {body: a + "\n" + strings.Repeat(`{"":`, 40) + "\n" + b, want: []string{"0 Audit a", fmt.Sprintf("1 JSON ends too early, after %d bytes", len(a)+1+160+1+len(b)), "2 Audit b"}},
	} {
		t.Run(name, func(t *testing.T) {
			for how, reader := range map[string]io.Reader{
				"at once":      strings.NewReader(test.body),
				"byte by byte": iotest.OneByteReader(strings.NewReader(test.body)),
				"with its end": iotest.DataErrReader(strings.NewReader(test.body)),
			} {
				got, err := told(reader, limits)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
				if text := fmt.Sprint(err); text != test.wantError && (err != nil || test.wantError != "") {
					t.Errorf("%s: error %q, want %q", how, text, test.wantError)
				}
			}
		})
	}
}

func slicesOf(count int, text string) []string {
	var out []string
	for i := range count {
		out = append(out, fmt.Sprintf("%d %s", i, text))
	}
	return out
}

func TestDecodeRecordsPassesOnErrors(t *testing.T) {
	broken := errors.New("connection reset")
	a := ownAudit("a")
	for name, body := range map[string]string{
		"lines": a + "\n" + a + "\n" + a[:20], "values": a + a + a[:20], "an array": "[" + a + "," + a + "," + a[:20],
		"several lines": pretty(a) + pretty(a) + pretty(a)[:40],
	} {
		for how, reader := range map[string]io.Reader{
			"at once": strings.NewReader(body), "byte by byte": iotest.OneByteReader(strings.NewReader(body)),
		} {
			got, err := told(io.MultiReader(reader, iotest.ErrReader(broken)), DecodeLimits{})
			if !errors.Is(err, broken) || len(got) != 2 {
				t.Errorf("%s %s: got %v, %v; want two records and the reader's error", name, how, got, err)
			}
		}
		full := errors.New("the spool is full")
		err := DecodeRecords(strings.NewReader(body), DecodeLimits{}, func(DecodedRecord) error { return full })
		if !errors.Is(err, full) {
			t.Errorf("%s: got %v, want the callback's error", name, err)
		}
	}
	err := DecodeRecords(strings.NewReader(eventList("1", "2")), DecodeLimits{}, func(DecodedRecord) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the callback's error", err)
	}
}

func TestALineThatIsTooLongKeepsItsBeginning(t *testing.T) {
	const long = `{"kind":"Event","auditID":"huge","requestURI":"/x?token=abc","requestObject":"`
	body := ownAudit("a") + "\n" + long + strings.Repeat("x", 200_000) + "\"}\n"
	err := DecodeRecords(strings.NewReader(body), DecodeLimits{EventBytes: 2000}, func(item DecodedRecord) error {
		if item.Index != 1 {
			return nil
		}
		if !errors.Is(item.Err, ErrEventTooLarge) || !bytes.HasPrefix(item.Raw, []byte(long)) || len(item.Raw) > MaxExcerptBytes {
			t.Errorf("error %v, %d bytes: %.100s", item.Err, len(item.Raw), item.Raw)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever is on a line, the others are read as if it were not there.
func TestALineSpoilsOnlyItself(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	good := func(n int) string { return ownAudit(fmt.Sprint("good-", n)) }
	bad := mutations(random, []byte(pretty(ownLines()[0])+ownLines()[1]), 1000)
	for i, changed := range bad {
		line := string(bytes.ReplaceAll(changed[:random.IntN(len(changed)+1)], []byte("\n"), nil))
		body := good(1) + "\n" + good(2) + "\n" + line + "\n" + good(3) + "\n" + good(4)
		found := map[string]int{}
		err := DecodeRecords(strings.NewReader(body), DecodeLimits{}, func(item DecodedRecord) error {
			if item.Record != nil {
				found[item.Record.Base().UserID]++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 4; n++ {
			if found[fmt.Sprint("good-", n)] != 1 {
				t.Fatalf("%d: record %d was read %d times beside the line %q", i, n, found[fmt.Sprint("good-", n)], line)
			}
		}
	}
}

// countingReader tells how much was read, and what is asked for at a time.
type countingReader struct {
	io.Reader
	read int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func TestDecodeRecordsReadsNoFartherThanItMust(t *testing.T) {
	const size = 1 << 20
	for name, body := range map[string]string{
		"lines": strings.Repeat(ownAudit("a")+"\n", size/70), "values": strings.Repeat(ownAudit("a"), size/70),
		"an array": "[" + strings.Repeat(ownAudit("a")+",", size/70) + "1]",
	} {
		reader := &countingReader{Reader: strings.NewReader(body)}
		used, most := 0, 0
		err := DecodeRecords(reader, DecodeLimits{}, func(item DecodedRecord) error {
			most = max(most, reader.read-used)
			used += len(item.Raw)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if bound := 3 * lineAhead; most > bound {
			t.Errorf("%s: %d bytes were held, want at most %d", name, most, bound)
		}
	}
}

func TestABodyThatJustFillsTheBuffer(t *testing.T) {
	line := ownAudit("a") + "\n"
	for size := smallBuffer - 3; size <= smallBuffer+3; size++ {
		whole := size / len(line)
		body := strings.Repeat(line, whole)
		body = body[:len(body)-1] + strings.Repeat(" ", size-len(body)) + "\n" // its last line has no end below
		got, err := told(strings.NewReader(body[:size]), DecodeLimits{})
		if err != nil || len(got) != whole {
			t.Errorf("%d bytes: %d records, error %v, want %d", size, len(got), err, whole)
		}
		for n, text := range got {
			if text != fmt.Sprint(n, " Audit a") {
				t.Errorf("%d bytes: %s", size, text)
			}
		}
	}
}

// A decoder that looks for the end of each line's value anew does not end here
// within any patience.
func TestDecodeRecordsEndsOnLinesThatNeverClose(t *testing.T) {
	line := `{"a":["` + strings.Repeat("x", 1000) + "\",\n"
	for _, count := range []int{2500, 4000} { // less and more than one value can have
		items, err := told(strings.NewReader(strings.Repeat(line, count)), DecodeLimits{})
		if err != nil || len(items) != count {
			t.Errorf("%d items, error %v", len(items), err)
		}
	}
}

func FuzzDecodeRecords(f *testing.F) {
	a, event := ownAudit("a"), fullEvent("e")
	for _, seed := range []string{
		a + "\n" + event, a + event, "[" + a + "," + event + "]", pretty(a) + pretty(event), eventList(event, "1"),
		a[:30] + "\n" + a, "[\n[\n[\n" + a, "{\"a\":[\n" + a + "\n" + a, `{"x":"` + strings.Repeat("x", 600) + "\"}\n" + a,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		limits := DecodeLimits{EventBytes: 500, Depth: 20, Events: 20}
		next := 0
		err := DecodeRecords(bytes.NewReader(body), limits, func(item DecodedRecord) error {
			ways := 0
			for _, is := range []bool{item.Record != nil, item.Event != nil, item.Err != nil} {
				if is {
					ways++
				}
			}
			if item.Index != next || ways != 1 || len(item.Raw) > MaxExcerptBytes {
				t.Errorf("item %d is %+v", next, item)
			}
			next++
			return nil
		})
		if next > limits.Events {
			t.Errorf("%d items", next)
		}
		slowly, slowErr := told(iotest.OneByteReader(bytes.NewReader(body)), limits)
		at, atErr := told(bytes.NewReader(body), limits)
		if diff := cmp.Diff(at, slowly); diff != "" || fmt.Sprint(atErr) != fmt.Sprint(slowErr) || fmt.Sprint(err) != fmt.Sprint(atErr) {
			t.Errorf("%q depends on how it arrives: %v, %v (-at once +byte by byte):\n%s", body, atErr, slowErr, diff)
		}
	})
}

func TestDecodedRecordsAreThoseOfTheirOwnDecoders(t *testing.T) {
	var lines []string
	for _, line := range realLines(t) {
		lines = append(lines, string(line))
	}
	lines = append(lines, ownLines()...)
	n := 0
	err := DecodeRecords(strings.NewReader(strings.Join(lines, "\n")), DecodeLimits{}, func(item DecodedRecord) error {
		line := []byte(lines[n])
		n++
		var want DecodedRecord
		if n <= len(lines)-len(ownLines()) {
			want.Event, want.Err = DecodeEvent(line, DecodeLimits{})
		} else {
			want.Record, want.Err = DecodeOwn(line)
		}
		if diff := cmp.Diff([]any{want.Event, want.Record, want.Err}, []any{item.Event, item.Record, item.Err}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
		if !bytes.Equal(item.Raw, line) {
			t.Errorf("raw is %q, want %q", item.Raw, line)
		}
		return item.Err
	})
	if err != nil || n != len(lines) {
		t.Errorf("%d of %d lines, error %v", n, len(lines), err)
	}
}
