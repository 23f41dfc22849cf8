package ship

import (
	"context"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestAStoreThatIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.append(0, 500)
		r.after(time.Second)
		gone := time.Now()
		r.store.behave(func(ctx context.Context, _ []record.Prepared) error { return pauseOr(ctx, time.Second, unavailable(0)) })
		for n := 500; n < 18_500; n += 300 {
			r.append(n, n+300)
			r.after(10 * time.Second)
		}
		calls := r.store.callsSince(gone)
		together := 0
		for _, c := range calls {
			if c.others > 0 {
				together++
			}
		}
		// The first failure is not known yet when the second group goes.
		if together > 1 || len(calls) > 600/3 {
			t.Errorf("asked %d times in 10 minutes, %d times twice at once", len(calls), together)
		}
		if held := len(r.spool.taken); held > waitingGroups*1000+3000 {
			t.Errorf("%d records are held in memory", held)
		}
		if r.metric("store_away") != 1 || r.logged("the store takes no records") != 1 {
			t.Errorf("away is %v, logged %d times", r.metric("store_away"), r.logged("the store takes no records"))
		}
		r.store.behave(nil)
		back := time.Now()
		r.after(6 * time.Second)
		// The groups that failed go as they are: nothing speaks against them.
		if n := len(r.store.callsSince(back)); n > 40 {
			t.Errorf("%d calls when the store is back", n)
		}
		if n := r.missing(0, 18_500); n > 0 {
			t.Errorf("%d records are not stored 6 s after the store is back", n)
		}
		if r.metric("store_away") != 0 || r.logged("takes records again") != 1 || r.logged("secret") != 0 {
			t.Errorf("away is %v, logged %d times", r.metric("store_away"), r.logged("takes records again"))
		}
		if r.account().Duplicate > 0 || r.spool.confirmed != 18_500 {
			t.Errorf("%+v, %d confirmed", r.account(), r.spool.confirmed)
		}
	})
}

func pauseOr(ctx context.Context, d time.Duration, err error) error {
	if cause := pause(ctx, d); cause != nil {
		return cause
	}
	return err
}

func TestAStoreThatAsksToBeLeftAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(context.Context, []record.Prepared) error { return unavailable(12 * time.Second) })
		r.append(0, 10)
		r.after(5 * time.Second)
		r.append(10, 20)
		r.after(6 * time.Second)
		if calls := r.store.callsSince(r.began); len(calls) != 1 {
			t.Errorf("asked %d times", len(calls))
		}
		r.store.behave(nil)
		r.after(2 * time.Second)
		if r.missing(0, 20) > 0 {
			t.Error("not asked when the time was over")
		}
	})
}

func TestTheLimitFollowsTheStore(t *testing.T) {
	const most = 100
	refuse := func(limit int, taken *int) func(record.Prepared) store.Outcome {
		return func(record.Prepared) store.Outcome {
			if *taken++; *taken > limit {
				return failed()
			}
			return store.Outcome{}
		}
	}
	tests := map[string]func(f *fakeStore){
		"it refuses some of many": func(f *fakeStore) {
			var taken int
			f.during = func(context.Context, []record.Prepared) error { taken = 0; return nil }
			f.outcome = refuse(most, &taken)
		},
		"it is slow": func(f *fakeStore) {
			f.during = func(ctx context.Context, records []record.Prepared) error {
				return pause(ctx, time.Duration(len(records))*slow/most)
			}
		},
		"it runs out of time": func(f *fakeStore) {
			f.during = func(_ context.Context, records []record.Prepared) error {
				if len(records) > most {
					return &store.Error{Reason: store.Timeout, Op: "append"}
				}
				return nil
			}
		},
	}
	for name, behave := range tests {
		for bound, maxBytes := range map[string]int{"bounded by records": 0, "bounded by bytes": 300_000} {
			t.Run(name+", "+bound, func(t *testing.T) {
				inBubble(t, func(t *testing.T, r *rig) {
					behave(r.store)
					r.append(0, 6000)
					r.after(5 * time.Minute)
					if got := r.metric("batch_limit_records"); got > 6*most {
						t.Errorf("the limit is %v", got)
					}
					r.after(time.Hour)
					if n := r.missing(0, 6000); n > 0 {
						t.Fatalf("%d are missing", n)
					}
					r.store.mutex.Lock()
					r.store.during, r.store.outcome = nil, nil
					r.store.mutex.Unlock()
					r.append(6000, 26_000)
					r.after(10 * time.Second)
					if got := r.metric("batch_limit_records"); got < 900 || r.missing(6000, 26_000) > 0 {
						t.Errorf("the limit is %v when the store takes all again", got)
					}
				}, func(o *Options) { o.MaxBytes = maxBytes })
			})
		}
	}
}

func TestWhatWaitsIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.outcome = func(p record.Prepared) store.Outcome {
			if p.ID[2]%2 == 0 {
				return failed()
			}
			return store.Outcome{}
		}
		r.append(0, 5000)
		r.after(time.Hour)
		if r.spool.mostTaken > (waitingGroups+3)*100 {
			t.Errorf("%d records were held in memory", r.spool.mostTaken)
		}
		r.store.mutex.Lock()
		r.store.outcome = nil
		r.store.mutex.Unlock()
		r.after(time.Minute)
		if n := r.missing(0, 5000); n > 0 {
			t.Errorf("%d are missing", n)
		}
	}, func(o *Options) { o.MaxRecords = 100 })
}
