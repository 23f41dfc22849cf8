package rules_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/builders"
)

const (
	// arrivals come in batches, so many a second of each.
	arrivalBatch    = 100
	arrivalInterval = 100 * time.Millisecond
	// between is how far apart the records of hugeOrg are, so that all are in
	// one window, and so that others fit between them.
	between = 10 * time.Millisecond
)

func TestPagesHoldEachRecordOnceWhileMoreArrive(t *testing.T) {
	w := theWorld(t)
	t.Parallel() // with what only waits
	w.claimed(t, hugeOrg)
	w.appendHuge(t)
	asAdmin := admin(t, w.Stage)
	path := namespaced(recordsPath, hugeOrg, "audits", append(inWindow(""), "limit", "500")...)
	seen(t, way{client: asAdmin, path: path, records: 500})
	// The last of the records can be found once all of them can.
	seen(t, way{client: asAdmin, path: namespaced(recordsPath, hugeOrg, "audits", inWindow(fmt.Sprintf(",targetID=start-%d", hugeAudits-1))...), records: 1})

	arrived, stop := w.arrivals(t)
	times, pages := map[string]int{}, 0
	for token := ""; ; pages++ {
		l, err := asAdmin.get(t.Context(), path+encodedContinue(token)).list()
		if err != nil {
			t.Fatalf("page %d: %v", pages, err)
		}
		if l.Truncation != nil {
			t.Fatalf("page %d is truncated: %+v", pages, l.Truncation)
		}
		for _, item := range l.Items {
			times[item.TargetID]++
		}
		if token = l.Metadata.Continue; token == "" {
			break
		}
	}
	came := arrived.Load()
	stop()

	missing, others := 0, 0
	for i := range hugeAudits {
		if times[fmt.Sprintf("start-%d", i)] == 0 {
			missing++
		}
	}
	for id, n := range times {
		if n != 1 {
			t.Errorf("%s is there %d times", id, n)
		}
		if id[:len("start-")] != "start-" {
			others++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d records are missing", missing, hugeAudits)
	}
	if came == 0 || others == 0 {
		t.Errorf("%d records arrived meanwhile and %d of them were seen: the test showed nothing", came, others)
	}
	t.Logf("%d pages; %d records arrived meanwhile, of which %d were on a page", pages+1, came, others)
}

func encodedContinue(token string) string {
	if token == "" {
		return ""
	}
	return "&continue=" + token
}

// appendHuge stores the records of the window's beginning.
func (w *world) appendHuge(t *testing.T) {
	t.Helper()
	const batch = 2000
	for begin := 0; begin < hugeAudits; begin += batch {
		records := audits(hugeOrg, "start", begin, batch, func(i int) record.Timestamp { return record.At(hugeTime(i)) })
		if err := w.Append(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
	}
}

// hugeTime is when the record of a number happened.
func hugeTime(number int) time.Time { return builders.Time().Add(-time.Duration(number) * between) }

// arrivals stores 1,000 records a second, or what the machine can, until they are
// stopped: half of them newer than all others, half among them.
func (w *world) arrivals(t *testing.T) (arrived *atomic.Int64, stop func()) {
	t.Helper()
	arrived = &atomic.Int64{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ticker := time.NewTicker(arrivalInterval)
		defer ticker.Stop()
		for batch := 0; ; batch++ {
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-ticker.C:
			}
			const half = arrivalBatch / 2
			newer := audits(hugeOrg, "newer", batch*half, half, func(i int) record.Timestamp {
				return record.At(builders.Time().Add(time.Duration(i) * time.Millisecond))
			})
			// Those scattered over the window are a little beside those there.
			among := audits(hugeOrg, "among", batch*half, half, func(i int) record.Timestamp {
				const prime = 7919
				return record.At(hugeTime(i * prime % hugeAudits).Add(time.Millisecond))
			})
			// What was begun is finished, so that the test's end breaks nothing.
			if err := w.Append(context.WithoutCancel(ctx), append(newer, among...)...); err != nil {
				ended <- err
				return
			}
			arrived.Add(arrivalBatch)
		}
	}()
	return arrived, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAListWithoutAWindowEndsAt500(t *testing.T) {
	w := theWorld(t)
	t.Parallel() // with what only waits
	w.claimed(t, "many")
	if err := w.Append(t.Context(), audits("many", "thing", 0, 700, at)...); err != nil {
		t.Fatal(err)
	}
	asAdmin := admin(t, w.Stage)
	seen(t, way{client: asAdmin, path: namespaced(recordsPath, "many", "audits", inWindow(",targetID=thing-699")...), records: 1})
	var want list
	for _, limit := range []string{"500", "", "7", "499", "1000"} {
		t.Run("limit="+limit, func(t *testing.T) {
			var got list
			for {
				l, err := asAdmin.get(t.Context(), namespaced(recordsPath, "many", "audits", "limit", limit, "continue", got.Metadata.Continue)).list()
				if err != nil {
					t.Fatal(err)
				}
				l.Items = append(got.Items, l.Items...)
				if got = l; got.Metadata.Continue == "" {
					break
				}
				if got.Truncation != nil {
					t.Fatalf("a list that goes on is truncated: %+v", got.Truncation)
				}
			}
			if got.records() != 500 || got.Truncation == nil || got.Truncation.Reason == "" || got.Truncation.Continue == "" {
				t.Fatalf("%d records, truncation %+v", got.records(), got.Truncation)
			}
			if want.Items == nil {
				want = got
			}
			if diff := cmp.Diff(want.Items, got.Items); diff != "" {
				t.Error(diff)
			}
			rest, err := asAdmin.get(t.Context(), namespaced(recordsPath, "many", "audits", "continue", got.Truncation.Continue)).list()
			if err != nil || rest.records() != 200 || rest.Truncation != nil || rest.Items[0].TargetID != "thing-500" {
				t.Errorf("the truncation's token leads to %d records, %v", rest.records(), err)
			}
		})
	}
	for _, chunk := range []string{"0", "37"} {
		out, warnings, err := w.ControlPlane().Kubectl(t.Context(), "get", "audits", "-n", "many", "--no-headers", "--chunk-size="+chunk)
		if err != nil || len(lines(out)) != 500 || !strings.Contains(warnings, "not complete") {
			t.Errorf("kubectl with chunks of %s: %d rows, %v, %s", chunk, len(lines(out)), err, warnings)
		}
	}
}
