package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

// listed are items of an EventList, of which every seventh is none.
func listed(t *testing.T, count int) (items [][]byte) {
	t.Helper()
	for i := range count {
		if i%7 == 3 {
			items = append(items, fmt.Appendf(nil, `{"level":"Metadata","auditID":%d}`, i))
			continue
		}
		event := builders.Event()
		event.ObjectRef.Name = fmt.Sprintf("web-%d", i)
		data, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, data)
	}
	return items
}

// mappedOne is what mapping says, in a form that outlives the next call.
type mappedOne struct {
	Index     int
	Documents []string
	Skip      record.Skip
	Err       string
}

func outliving(mapped []mappedEvent) (all []mappedOne) {
	for _, m := range mapped {
		one := mappedOne{Index: m.event.Index, Skip: m.skip}
		if m.err != nil {
			one.Err = m.err.Error()
		} else {
			for _, p := range m.records {
				one.Documents = append(one.Documents, string(p.Document), fmt.Sprint(p.Words, p.ID))
			}
		}
		all = append(all, one)
	}
	return all
}

func TestEventsThatAreMappedTogetherAreMappedAsAlone(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	options := record.KubernetesOptions{Cluster: "prod", OwnCluster: "prod"}
	items := listed(t, 200)
	var alone []mappedOne
	for i, item := range items {
		var m mappedEvent
		m.decoded(rawEvent{index: i, raw: item}, options, now)
		alone = append(alone, outliving([]mappedEvent{m})...)
	}
	m := &mapper{options: options, now: func() time.Time { return now }}
	body := slices.Concat([]byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[`), bytes.Join(items, []byte(",\n")), []byte(`]}`))
	var together []mappedOne
	largest := 0
	err := readEvents(bytes.NewReader(body), nil, func(group []rawEvent) error {
		largest = max(largest, len(group))
		together = append(together, outliving(m.mapAll(group))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alone, together); diff != "" {
		t.Errorf("(-alone +together):\n%s", diff)
	}
	if largest < fewEvents {
		t.Errorf("at most %d came together, so nothing was shared out", largest)
	}
}
