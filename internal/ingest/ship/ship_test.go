package ship

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func TestRecordsAreStoredConfirmedAndForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.append(0, 2500)
		r.after(time.Second)
		if n := r.missing(0, 2500); n > 0 || r.spool.confirmed != 2500 || len(r.forgot) != 2500 {
			t.Errorf("%d are missing, %d confirmed, %d forgotten", n, r.spool.confirmed, len(r.forgot))
		}
		if a := r.account(); a.Stored != 2500 {
			t.Errorf("%+v", a)
		}
		if calls := r.store.callsSince(r.began); len(calls) != 3 || calls[0].records != 1000 {
			t.Errorf("%+v", calls)
		}
	})
}

func TestWhatBecomesOfARecord(t *testing.T) {
	collision := &store.Error{Reason: store.Conflict, Op: "append", Message: "another has this id"}
	tests := map[string]struct {
		outcome     store.Outcome // of the first record; a zero Result for the usual
		entry       []byte        // of the first record, if not a good one
		wantCauses  []deadletter.Cause
		wantStored  int64
		wantTwice   int64
		wantLetter  string // is part of its reason
		wantPresent bool   // in the letter's document or bytes
	}{
		"it is stored":               {wantStored: 2},
		"it was there":               {outcome: store.Outcome{Result: store.Duplicate}, wantStored: 1, wantTwice: 1},
		"another with its id is":     {outcome: store.Outcome{Result: store.Collision, Err: collision}, wantStored: 1, wantCauses: []deadletter.Cause{deadletter.Collision}, wantLetter: "another has this id", wantPresent: true},
		"the store never takes it":   {outcome: store.Outcome{Result: store.Rejected, Err: collision}, wantStored: 1, wantCauses: []deadletter.Cause{deadletter.Rejected}, wantPresent: true},
		"it is of another version":   {entry: append([]byte{9}, entryOf(0)[1:]...), wantStored: 1, wantCauses: []deadletter.Cause{deadletter.Unreadable}, wantLetter: "format is 9", wantPresent: true},
		"it is nothing that we know": {entry: []byte("?"), wantStored: 1, wantCauses: []deadletter.Cause{deadletter.Unreadable}, wantPresent: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, r *rig) {
				r.store.outcome = func(p record.Prepared) store.Outcome {
					if p.ID == id(0) {
						return test.outcome
					}
					return store.Outcome{}
				}
				first := entryOf(0)
				if test.entry != nil {
					first = test.entry
				}
				r.spool.append(first, entryOf(1))
				r.ledger.Acknowledged(source, 2)
				r.after(time.Second)
				if diff := cmp.Diff(test.wantCauses, r.letters.causes()); diff != "" {
					t.Error(diff)
				}
				if a := r.account(); a.Stored != test.wantStored || a.Duplicate != test.wantTwice || r.spool.confirmed != 2 {
					t.Errorf("%+v, %d confirmed", a, r.spool.confirmed)
				}
				if err := r.ledger.Check(); err != nil {
					t.Error(err)
				}
				if slices.Contains(r.forgot, record.ID{}) || len(r.forgot) == 0 {
					t.Errorf("forgot %v", r.forgot)
				}
				for _, l := range r.letters.letters {
					if (len(l.Document)+len(l.Bytes) > 0) != test.wantPresent || !strings.Contains(l.Reason, test.wantLetter) {
						t.Errorf("%+v", l)
					}
				}
			})
		})
	}
}

func TestAnEntryThatCannotBeReadIsSetAsideEvenWhenTheStoreIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		r.store.behave(func(context.Context, []record.Prepared) error { return unavailable(0) })
		r.spool.append([]byte("?"), entryOf(1))
		r.after(time.Second)
		if len(r.letters.letters) != 1 || r.spool.confirmed != 1 {
			t.Errorf("%d letters, %d confirmed", len(r.letters.letters), r.spool.confirmed)
		}
	})
}

func TestARecordThatFailsForAWhileIsStored(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		tries := map[record.ID]int{}
		r.store.outcome = func(p record.Prepared) store.Outcome {
			if tries[p.ID]++; p.ID[2]%2 == 0 && tries[p.ID] < 4 {
				return failed()
			}
			return store.Outcome{}
		}
		r.append(0, 100)
		r.after(time.Minute)
		if r.missing(0, 100) > 0 || r.spool.confirmed != 100 {
			t.Errorf("%d are missing", r.missing(0, 100))
		}
		for id, n := range tries {
			if want := 1 + 3*(1-int(id[2])%2); n != want {
				t.Errorf("%x was sent %d times, not %d", id[:3], n, want)
			}
		}
	})
}

func TestDeadLettersThatTakeNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		full := deadletter.ErrFull
		r.letters.fail(full)
		r.store.outcome = func(p record.Prepared) store.Outcome {
			if p.ID[2]%10 == 0 {
				return store.Outcome{Result: store.Rejected}
			}
			return store.Outcome{}
		}
		r.spool.append([]byte("?"))
		r.append(0, 100)
		r.after(10 * time.Minute)
		if r.spool.confirmed != 90 || r.account().Stored != 90 {
			t.Errorf("%d confirmed, %+v", r.spool.confirmed, r.account())
		}
		if r.logged("no place among the dead letters") != 1 || r.metric("dead_letter_failures_total") < 10 {
			t.Errorf("logged %d times, counted %v", r.logged("no place among the dead letters"), r.metric("dead_letter_failures_total"))
		}
		r.letters.fail(nil)
		r.after(time.Minute)
		if r.spool.confirmed != 101 || len(r.letters.letters) != 11 || r.logged("can be written again") != 1 {
			t.Errorf("%d confirmed, %d letters", r.spool.confirmed, len(r.letters.letters))
		}
	})
}

func TestASpoolThatCannotBeRead(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		broken := errors.New("I/O error")
		r.spool.fail(broken, broken, broken)
		r.append(0, 10)
		r.after(10 * time.Second)
		if r.missing(0, 10) > 0 || r.logged("cannot be read; trying again") != 1 || r.logged("can be read again") != 1 {
			t.Errorf("%d missing, %d lines", r.missing(0, 10), r.logged("cannot be read"))
		}
		if r.metric("spool_failures_total") != 3 {
			t.Errorf("counted %v", r.metric("spool_failures_total"))
		}
	})
}

func TestEveryRecordFindsOnePlaceWhateverTheStoreDoes(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, func(t *testing.T, r *rig) {
			random := rand.New(rand.NewPCG(seed, 0))
			fates := rand.New(rand.NewPCG(seed, 1)) // the store's, under its mutex
			calm := time.Now().Add(5 * time.Minute)
			r.store.behave(func(ctx context.Context, _ []record.Prepared) error {
				r.store.mutex.Lock()
				fate, wait := fates.IntN(10), time.Duration(fates.IntN(3000))*time.Millisecond
				r.store.mutex.Unlock()
				if time.Now().After(calm) || fate > 3 {
					return pause(ctx, wait/10)
				}
				return pauseOr(ctx, wait, []error{
					unavailable(0), unavailable(wait), &store.Error{Reason: store.Timeout, Op: "append"}, errors.New("odd"),
				}[fate])
			})
			r.store.outcome = func(p record.Prepared) store.Outcome {
				switch {
				case p.ID[2] == 7:
					return store.Outcome{Result: store.Collision}
				case time.Now().Before(calm) && fates.IntN(20) == 0:
					return failed()
				default:
					return store.Outcome{}
				}
			}
			const records = 3000
			for n := 0; n < records; n += 300 {
				r.append(n, n+300)
				r.ledger.Acknowledged(source, 300)
				if random.IntN(3) == 0 {
					r.letters.fail(deadletter.ErrFull)
				} else {
					r.letters.fail(nil)
				}
				r.after(time.Duration(random.IntN(20_000)) * time.Millisecond)
				if missing := r.ledger.Balance().Missing(); missing > 0 {
					t.Errorf("seed %d: %d look lost", seed, missing)
				}
			}
			r.letters.fail(nil)
			r.after(10 * time.Minute)
			if err := r.ledger.Check(); err != nil || r.spool.confirmed != records {
				t.Errorf("seed %d: %d confirmed, %v", seed, r.spool.confirmed, err)
			}
			if len(r.letters.letters) != r.missing(0, records) {
				t.Errorf("seed %d: %d letters, %d not stored", seed, len(r.letters.letters), r.missing(0, records))
			}
		}, func(o *Options) { o.MaxRecords = 200 })
	}
}

func TestSetAside(t *testing.T) {
	inBubble(t, func(t *testing.T, r *rig) {
		tell := SetAside(r.letters, r.ledger, nil)
		damage := spool.Damage{Segment: "0001.spool", Offset: 100, Length: 30, Records: 2, Bytes: []byte("xyz")}
		r.letters.fail(deadletter.ErrFull)
		if err := tell(damage); !errors.Is(err, deadletter.ErrFull) || len(r.ledger.Accounts()) > 0 {
			t.Errorf("%v, counted %v", err, r.ledger.Accounts())
		}
		r.letters.fail(nil)
		if err := tell(damage); err != nil {
			t.Fatal(err)
		}
		l := r.letters.letters[0]
		if l.Cause != deadletter.Damaged || string(l.Bytes) != "xyz" || !strings.Contains(l.Reason, "30 bytes of the spool's segment 0001.spool, from byte 100") {
			t.Errorf("%+v", l)
		}
		if n := r.ledger.Accounts()[sourceUnknown].DeadLettered[deadletter.Damaged]; n != 2 {
			t.Errorf("%d records are counted", n)
		}
	})
}
