package builders

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

// goldenNow is the instant at which testdata/applications.jsonl was made:
//
//	go run ./hack/sample -now 2026-11-03T00:00:00Z > test/testdata/applications.jsonl
var goldenNow = time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)

func sampleAt(t *testing.T, now time.Time) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := WriteSample(&out, now); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func decodeSample(t *testing.T, sample []byte, now time.Time) []record.Record {
	t.Helper()
	var records []record.Record
	for lines := bufio.NewScanner(bytes.NewReader(sample)); lines.Scan(); {
		r, err := record.DecodeOwn(lines.Bytes())
		if err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		canonical, err := record.Canonical(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Base().ID = record.ContentID(r.Kind(), canonical, 0)
		if changes := record.Normalize(r, now); changes.Any() {
			t.Errorf("%s had to be changed: %+v", lines.Text(), changes)
		}
		records = append(records, r)
	}
	return records
}

func TestEveryFieldOccursInTheSample(t *testing.T) {
	missing := map[record.Kind]map[string]bool{}
	for _, kind := range record.Kinds() {
		missing[kind] = map[string]bool{}
		for _, f := range record.Fields(kind) {
			missing[kind][f.Name] = true
		}
	}
	count := map[record.Kind]int{}
	ids := map[record.ID]bool{}
	for _, r := range decodeSample(t, sampleAt(t, goldenNow), goldenNow) {
		count[r.Kind()]++
		ids[r.Base().ID] = true
		for _, f := range record.Fields(r.Kind()) {
			if filled(f.Pointer(r)) {
				delete(missing[r.Kind()], f.Name)
			}
		}
	}
	for kind, names := range missing {
		for name := range names {
			t.Errorf("no %s of the sample has %s", kind, name)
		}
	}
	if count[record.KindAudit] != SampleAudits || count[record.KindAuthAudit] != SampleLogins || len(ids) != SampleAudits+SampleLogins {
		t.Errorf("the sample has %v lines, %d different ones", count, len(ids))
	}
}

func filled(at any) bool {
	switch at := at.(type) {
	case *string:
		return *at != ""
	case *int64:
		return *at != 0
	case *record.Timestamp:
		return *at != 0
	case *record.ID:
		return !at.IsZero()
	case *[]record.Attribute:
		for _, a := range *at {
			if a.Type != "" && a.ID != "" && a.OrgID != "" && a.Name != "" {
				return true
			}
		}
		return false
	case *json.RawMessage:
		return len(*at) > len(`{}`)
	default:
		return false
	}
}

func TestTheSampleIsOfTheLastTwoDays(t *testing.T) {
	now := time.Date(2027, 2, 28, 12, 30, 15, 5, time.UTC)
	lastDay := 0
	for _, r := range decodeSample(t, sampleAt(t, now), now) {
		at := r.Base().Time.Time()
		if at.After(now) || at.Before(now.Add(-48*time.Hour)) {
			t.Errorf("a record of %s for %s", at, now)
		}
		if at.After(now.Add(-24 * time.Hour)) {
			lastDay++
		}
	}
	if lastDay < 100 {
		t.Errorf("%d records are of the last day", lastDay)
	}
}

func TestTheSampleIsTheSameEachTime(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("..", "testdata", "applications.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, sampleAt(t, goldenNow)) {
		t.Error("test/testdata/applications.jsonl is not what WriteSample writes; make it again as goldenNow says")
	}
}

func TestWhatIsBuiltIsValid(t *testing.T) {
	a := Audit(func(a *record.Audit) { a.UserID = "bob" })
	if a.UserID != "bob" || a.ID.IsZero() || a.ID == Audit().ID {
		t.Errorf("built %+v", a)
	}
	if changes := record.Normalize(a, Time().Add(time.Minute)); changes.Any() {
		t.Errorf("it had to be changed: %+v", changes)
	}
	l := AuthAudit()
	if changes := record.Normalize(l, Time().Add(time.Minute)); changes.Any() || l.ID.IsZero() {
		t.Errorf("it had to be changed: %+v", changes)
	}
	records, skip, err := record.KubernetesRecords(Event(), record.KubernetesOptions{OwnCluster: "prod"})
	if err != nil || skip != record.SkipNone || len(records) != 1 {
		t.Fatalf("%v, %q, %v", records, skip, err)
	}
	if got := records[0].(*record.Audit); got.Action != "delete" || got.OrgID != "shop" || got.TargetResourceName != "web" {
		t.Errorf("the event says %+v", got)
	}
	err = record.DecodeEvents(bytes.NewReader(EventList(Event())), record.DecodeLimits{}, func(e record.DecodedEvent) error { return e.Err })
	if err != nil {
		t.Errorf("the list: %v", err)
	}
}
