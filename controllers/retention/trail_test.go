package retention

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// lossyStore loses the answer of the next calls that erase, after they did it.
type lossyStore struct {
	*watchedStore
	// stretches and batches are how many answers are lost.
	stretches, batches int
}

func lost() error {
	return &store.Error{Reason: store.Timeout, Op: "erase", Message: "no answer in time"}
}

func (s *lossyStore) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	erased, err := s.watchedStore.EraseStretch(ctx, kind, name, doomed)
	if err == nil && s.stretches > 0 {
		s.stretches--
		return store.Erased{}, lost()
	}
	return erased, err
}

func (s *lossyStore) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	erasure, err := s.watchedStore.Erase(ctx, q)
	return &lossyErasure{erasure, s}, err
}

type lossyErasure struct {
	store.Erasure
	s *lossyStore
}

func (e *lossyErasure) Next(ctx context.Context, limit int) (int, error) {
	erased, err := e.Erasure.Next(ctx, limit)
	if err == nil && e.s.batches > 0 {
		e.s.batches--
		return 0, lost()
	}
	return erased, err
}

func TestTheTrailNeverSaysLessThanWent(t *testing.T) {
	tests := map[string]struct {
		stretches, batches int
		refused            error
		want               string
		wantAtLeast        bool
	}{
		"when every answer came": {
			want: `Success default NAME erased 35 Audit records by the retention policy "default"`,
		},
		"when the answer about a stretch was lost": {
			stretches: 1, wantAtLeast: true,
			want: `Failure default NAME erased at least 30 Audit records by the retention policy "default"; more may have been erased; 1 steps failed`,
		},
		"when the answer about a batch was lost, and the next try went well": {
			batches: 1, wantAtLeast: true,
			want: `Success default NAME erased at least 25 Audit records by the retention policy "default"; more may have been erased`,
		},
		"when a batch was not even begun": {
			refused: &store.Error{Reason: store.Conflict, Op: "erase", Message: "no"},
			want:    `Failure default NAME erased 5 Audit records by the retention policy "default"; 1 steps failed`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, policy("default"))
			b.audits(t, 5, "bank", ago(200))
			b.audits(t, 30, "bank", ago(95))
			b.audits(t, 1, "bank", ago(1))
			b.settle(t)
			b.store.watch(failAt("open", 1, test.refused))
			mustRun(t, b.eraser(t, func(o *EraserOptions) {
				o.Store = &lossyStore{watchedStore: b.store, stretches: test.stretches, batches: test.batches}
			}))
			trail := b.trail(t)
			if diff := cmp.Diff([]string{strings.ReplaceAll(test.want, "NAME", username)}, describeTrail(trail)); diff != "" {
				t.Fatalf("the trail (-want +got):\n%s", diff)
			}
			var details struct{ Retention runDetails }
			if err := json.Unmarshal(trail[0].Details, &details); err != nil {
				t.Fatal(err)
			}
			if got := details.Retention.AtLeast; got != test.wantAtLeast {
				t.Errorf("at least: %t, want %t", got, test.wantAtLeast)
			}
			for _, text := range details.Retention.Errors {
				if test.wantAtLeast == strings.Contains(text, "were not erased") {
					t.Errorf("the error is %q", text)
				}
			}
		})
	}
}

func TestTheTrailSaysSoOfEveryPolicyThatDecided(t *testing.T) {
	b := newBench(t, policy("default"), policy("shop", func(p *retention.Policy) { p.Rule.OrgIDs, p.Rule.Keep = []string{"shop"}, age("30d") }))
	b.audits(t, 5, "shop", ago(200))
	b.audits(t, 5, "bank", ago(200))
	b.settle(t)
	mustRun(t, b.eraser(t, func(o *EraserOptions) { o.Store = &lossyStore{watchedStore: b.store, stretches: 1} }), "shop")
	wantLeft(t, b, map[string]int{"shop": 0, "bank": 0})
	if diff := cmp.Diff([]string{
		`Failure shop ` + username + ` erased at least 0 records by the retention policy "shop"; more may have been erased; 1 steps failed`,
		`Success default ` + username + ` erased at least 0 records by the retention policy "default"; more may have been erased`,
	}, describeTrail(b.trail(t))); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

func TestWhatIsNotKnownOfARunSurvivesTheProcess(t *testing.T) {
	b := newBench(t, policy("default"))
	b.audits(t, 5, "bank", ago(200))
	b.settle(t)
	b.store.watch(func(call string) error {
		if call == "append" {
			return unavailable()
		}
		return nil
	})
	if _, err := b.eraser(t, func(o *EraserOptions) { o.Store = &lossyStore{watchedStore: b.store, stretches: 1} }).Run(t.Context()); err == nil {
		t.Fatal("the record could be written")
	}
	b.store.watch(nil)
	mustRun(t, b.eraser(t))
	want := `Failure default ` + username + ` erased at least 0 records by the retention policy "default"; more may have been erased; 1 steps failed`
	if diff := cmp.Diff([]string{want}, describeTrail(b.trail(t))); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}
