package rest_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/rest"
	"auditquery.dev/auditquery/test/builders"
)

// small is a record whose JSON can be read at a glance.
func small(id byte) *record.Audit {
	a := &record.Audit{Action: "get", Outcome: "Success"}
	a.ID = record.ID{15: id}
	a.Time, a.IngestTime = record.At(builders.Time()), record.At(builders.Time())
	return a
}

func TestAnswersAreTheStoredBytes(t *testing.T) {
	const document = `{"id":"0000000000000000000000000000000%d","time":"2026-11-02T10:30:00.123456Z",` +
		`"ingest_time":"2026-11-02T10:30:00.123456Z","action":"get","outcome":"Success"}`
	for name, tc := range map[string]struct {
		path     string
		records  []record.Record
		raw      string
		wantBody string
	}{
		"nothing":       {path: ownAudits + "?limit=7", wantBody: `{"limit":7,"audits":[]}` + "\n"},
		"no auth audit": {path: ownAuthAudits, wantBody: `{"limit":500,"auth_audits":[]}` + "\n"},
		"one": {
			path: allAudits, records: []record.Record{small(1)},
			wantBody: `{"limit":500,"audits":[` + fmt.Sprintf(document, 1) + `]}` + "\n",
		},
		"two": {
			path: shopAudits, records: []record.Record{small(2), small(1)},
			wantBody: `{"limit":500,"audits":[` + fmt.Sprintf(document, 2) + "," + fmt.Sprintf(document, 1) + `]}` + "\n",
		},
		"a form that we would write otherwise": {
			path: ownAudits, raw: `{ "user_id":"\u0061<", "from_the_future": 1.50 }`,
			wantBody: `{"limit":500,"audits":[{ "user_id":"\u0061<", "from_the_future": 1.50 }]}` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store.hold(tc.records...)
			if tc.raw != "" {
				f.store.documents = [][]byte{[]byte(tc.raw)}
			}
			w := f.get(t, tc.path)
			if got := w.Body.String(); w.Code != http.StatusOK || got != tc.wantBody {
				t.Errorf("got %d:\n%s\nwant:\n%s", w.Code, got, tc.wantBody)
			}
			checkHeaders(t, w, len(tc.wantBody))
		})
	}
}

func checkHeaders(t *testing.T, w *httptest.ResponseRecorder, wantLength int) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Length": strconv.Itoa(wantLength), "Vary": "Accept-Encoding",
		"X-Content-Type-Options": "nosniff", "Link": "", "Warning": "",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(3)...)
	for _, path := range []string{ownAudits + "?limit=2", ownAudits + "?limit=0", "/v1/nothing", rest.DocumentPath} {
		t.Run(path, func(t *testing.T) {
			get, head := f.get(t, path), f.do(t, httptest.NewRequest(http.MethodHead, path, nil))
			if head.Code != get.Code || head.Body.Len() != 0 {
				t.Errorf("HEAD gives %d and %d bytes, GET %d", head.Code, head.Body.Len(), get.Code)
			}
			for _, name := range []string{"Content-Type", "Content-Length", "Link"} {
				if got, want := head.Header().Get(name), get.Header().Get(name); got != want {
					t.Errorf("%s is %q, of GET %q", name, got, want)
				}
			}
		})
	}
}

func TestLargeAnswersAreCompressedOnlyWhenAsked(t *testing.T) {
	for name, tc := range map[string]struct {
		accept   string
		records  int
		wantGzip bool
	}{
		"not asked":                     {records: 500},
		"asked":                         {accept: "gzip", records: 500, wantGzip: true},
		"asked among others":            {accept: "br, GZIP;q=0.5", records: 500, wantGzip: true},
		"another is asked for":          {accept: "br", records: 500},
		"refused":                       {accept: "gzip;q=0", records: 500},
		"refused in more digits":        {accept: "gzip; q=0.000, *", records: 500},
		"a quality that is none":        {accept: "gzip;q=much", records: 500},
		"an answer too small to bother": {accept: "gzip", records: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.store.hold(numbered(tc.records)...)
			plain := f.get(t, ownAudits).Body.Bytes()
			// Twice: the second goes through buffers that were used.
			for range 2 {
				r := httptest.NewRequest(http.MethodGet, ownAudits, nil)
				r.Header.Set("Accept-Encoding", tc.accept)
				w := f.do(t, r)
				if got := w.Header().Get("Content-Length"); got != strconv.Itoa(w.Body.Len()) {
					t.Errorf("Content-Length is %s of %d bytes", got, w.Body.Len())
				}
				if got := w.Header().Get("Content-Encoding") == "gzip"; got != tc.wantGzip {
					t.Fatalf("compressed: %t, want %t", got, tc.wantGzip)
				}
				if body := decompressed(t, w); !bytes.Equal(body, plain) {
					t.Errorf("the body differs from the plain one: %d bytes, want %d", len(body), len(plain))
				}
			}
		})
	}
}

func decompressed(t *testing.T, w *httptest.ResponseRecorder) []byte {
	t.Helper()
	var body io.Reader = w.Body
	if w.Header().Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		body = z
	}
	out, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// brokenWriter is a connection whose other end is gone.
type brokenWriter struct {
	*httptest.ResponseRecorder
	writes int
}

func (b *brokenWriter) Write([]byte) (int, error) {
	b.writes++
	return 0, io.ErrClosedPipe
}

func TestAClientThatGoesAwayEndsTheWriting(t *testing.T) {
	f := newFixture(t)
	f.store.hold(numbered(500)...)
	w := &brokenWriter{ResponseRecorder: httptest.NewRecorder()}
	f.serve(t, w, httptest.NewRequest(http.MethodGet, ownAudits, nil))
	if w.writes != 1 {
		t.Errorf("%d writes to a client that is gone", w.writes)
	}
	// The buffer that it used must not leak into the next answer.
	if got := f.get(t, ownAudits+"?limit=1").Body.String(); !strings.HasPrefix(got, `{"limit":1,`) {
		t.Errorf("the next answer begins with %.60q", got)
	}
}
