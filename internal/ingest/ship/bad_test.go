package ship

import (
	"context"
	"slices"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestARecordThatKeepsFailingDelaysNobody(t *testing.T) {
	// How the store says so: of the record, when others go with it, or of the
	// whole group, which an Elasticsearch behind a proxy may.
	tests := map[string]func(*fakeStore){
		"it alone fails": func(f *fakeStore) {
			f.outcome = func(p record.Prepared) store.Outcome {
				if p.ID == id(500) {
					return failed()
				}
				return store.Outcome{}
			}
		},
		"its whole group fails": func(f *fakeStore) {
			f.during = func(_ context.Context, records []record.Prepared) error {
				if holds(records, 500) {
					return unavailable(0)
				}
				return nil
			}
		},
	}
	for name, behave := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				behave(r.store)
				r.append(0, 3000)
				r.after(20 * time.Second)
				if n := r.missing(0, 3000); n != 1 {
					t.Fatalf("%d records are not stored after 20 s", n)
				}
				// Its next neighbours come one by one.
				for n := 3000; n < 3100; n++ {
					r.append(n, n+1)
					r.after(500 * time.Millisecond)
					if r.missing(n, n+1) > 0 {
						t.Fatalf("record %d is not stored after half a second", n)
					}
				}
				at := time.Now()
				r.after(time.Hour)
				calls := r.store.callsSince(at)
				if len(calls) < 100 || len(calls) > 245 {
					t.Errorf("it was tried %d times in an hour", len(calls))
				}
				if r.spool.confirmed != 3099 || len(r.letters.letters) > 0 {
					t.Errorf("%d confirmed, %d letters", r.spool.confirmed, len(r.letters.letters))
				}
				if r.metric("waiting_records") != 1 {
					t.Errorf("%v wait", r.metric("waiting_records"))
				}
			})
		})
	}
}

func TestABadRecordAmongFewDoesNotNeedOthersToBeFound(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(_ context.Context, records []record.Prepared) error {
			if holds(records, 50) {
				return unavailable(0)
			}
			return nil
		})
		r.append(0, 100)
		r.after(2 * time.Minute)
		if n := r.missing(0, 100); n != 1 {
			t.Errorf("%d records are not stored", n)
		}
	})
}

func TestManyRecordsThatFailTheirGroupsAreFound(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		bad := []int{0, 1, 499, 500, 999, 1500}
		r.store.behave(func(_ context.Context, records []record.Prepared) error {
			if slices.ContainsFunc(bad, func(n int) bool { return holds(records, n) }) {
				return unavailable(0)
			}
			return nil
		})
		r.append(0, 4000)
		r.after(2 * time.Minute)
		if n := r.missing(0, 4000); n != len(bad) {
			t.Errorf("%d records are not stored", n)
		}
		r.store.behave(nil)
		r.after(time.Minute)
		if n := r.missing(0, 4000); n != 0 {
			t.Errorf("%d records are not stored when nothing is wrong any more", n)
		}
	})
}

// Every other record is for an index that takes nothing. A store that has nothing
// but failures to tell of tells them as the whole call's.
func TestManyRecordsThatKeepFailingDelayNobody(t *testing.T) {
	for _, workers := range []int{1, 2} {
		inBubble(t, func(t *testing.T, r *rig) {
			bad := func(p record.Prepared) bool { return p.ID[2]%2 == 1 }
			r.store.behave(func(ctx context.Context, records []record.Prepared) error {
				for _, p := range records {
					if !bad(p) {
						return pause(ctx, 100*time.Millisecond)
					}
				}
				return pauseOr(ctx, time.Second, unavailable(0))
			})
			r.store.outcome = func(p record.Prepared) store.Outcome {
				if bad(p) {
					return failed()
				}
				return store.Outcome{}
			}
			r.append(0, 4000)
			r.after(5 * time.Minute)
			if n := r.missing(0, 4000); n != 2000 {
				t.Fatalf("%d workers: %d records are not stored", workers, n)
			}
			for n := 4000; n < 4100; n += 2 {
				r.append(n, n+1)
				r.after(2 * time.Second)
				if r.missing(n, n+1) > 0 {
					t.Errorf("%d workers: record %d is not stored after 2 s", workers, n)
				}
			}
			if n := r.logged("the store takes no records"); n > 5 {
				t.Errorf("%d workers: the store is said to be away %d times", workers, n)
			}
			at := time.Now()
			r.after(10 * time.Minute)
			if calls := r.store.callsSince(at); len(calls) > 600*5 {
				t.Errorf("%d workers: %d calls in 10 minutes", workers, len(calls))
			}
			r.store.mutex.Lock()
			r.store.during, r.store.outcome = nil, nil
			r.store.mutex.Unlock()
			r.after(time.Minute)
			if n := r.missing(0, 4000); n != 0 {
				t.Errorf("%d workers: %d records are not stored when nothing is wrong any more", workers, n)
			}
		}, func(o *Options) { o.Workers = workers })
	}
}

func TestRecordsWhoseCallsHangLeaveAWorkerToOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(ctx context.Context, records []record.Prepared) error {
			if holds(records, 10) || holds(records, 1010) || holds(records, 2010) {
				return pauseOr(ctx, 40*time.Second, &store.Error{Reason: store.Timeout, Op: "append"})
			}
			return nil
		})
		r.append(0, 3000)
		r.after(time.Hour)
		if n := r.missing(0, 3000); n != 3 {
			t.Fatalf("%d records are not stored", n)
		}
		for n := 3000; n < 3300; n++ {
			r.append(n, n+1)
			r.after(time.Second)
			if r.missing(n, n+1) > 0 {
				t.Fatalf("record %d is not stored after a second", n)
			}
		}
	})
}
