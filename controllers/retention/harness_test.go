package retention

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/store/sqlite"
	"auditquery.dev/auditquery/test/builders"
)

// today is when tests begin.
var today = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

const username = "system:serviceaccount:auditquery-system:auditquery-controller"

// watchedStore is the embedded store, which records what erases, calls a test before
// each of these calls, and can fail the next ones.
type watchedStore struct {
	Store
	mu    sync.Mutex
	calls []string
	// limits are the sizes of batches that were asked for.
	limits []int
	// lasted is the longest time that a kind of call was given.
	lasted map[string]time.Duration
	// before is called before each call, which fails when it returns an error.
	before func(call string) error
}

func openStore(t *testing.T) *watchedStore {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "records.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &watchedStore{Store: s, lasted: map[string]time.Duration{}}
}

func (s *watchedStore) called(ctx context.Context, call string) error {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	if end, ok := ctx.Deadline(); ok {
		s.lasted[call] = max(s.lasted[call], time.Until(end))
	}
	before := s.before
	s.mu.Unlock()
	if before != nil {
		return before(call)
	}
	return nil
}

// watch says what is called before each call from now on.
func (s *watchedStore) watch(before func(call string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before, s.calls, s.limits, s.lasted = before, nil, nil, map[string]time.Duration{}
}

func (s *watchedStore) made(call string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (s *watchedStore) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (store.Erased, error) {
	if err := s.called(ctx, "stretch"); err != nil {
		return store.Erased{}, err
	}
	return s.Store.EraseStretch(ctx, kind, name, doomed)
}

func (s *watchedStore) Erase(ctx context.Context, q query.Query) (store.Erasure, error) {
	if err := s.called(ctx, "open"); err != nil {
		return nil, err
	}
	erasure, err := s.Store.Erase(ctx, q)
	return &watchedErasure{erasure, s}, err
}

func (s *watchedStore) Append(ctx context.Context, records []record.Record) ([]store.Outcome, error) {
	if err := s.called(ctx, "append"); err != nil {
		return nil, err
	}
	return s.Store.Append(ctx, records)
}

func (s *watchedStore) Stretches(ctx context.Context, kind record.Kind) ([]store.Stretch, error) {
	if err := s.called(ctx, "stretches"); err != nil {
		return nil, err
	}
	return s.Store.Stretches(ctx, kind)
}

func (s *watchedStore) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	if err := s.called(ctx, "write "+name); err != nil {
		return "", err
	}
	return s.Store.WriteNote(ctx, name, data, version)
}

func (s *watchedStore) FinishErasing(ctx context.Context) error {
	if err := s.called(ctx, "finish"); err != nil {
		return err
	}
	return s.Store.FinishErasing(ctx)
}

func (s *watchedStore) Reclaim(ctx context.Context) error {
	if err := s.called(ctx, "reclaim"); err != nil {
		return err
	}
	return s.Store.Reclaim(ctx)
}

type watchedErasure struct {
	store.Erasure
	s *watchedStore
}

func (e *watchedErasure) Next(ctx context.Context, limit int) (int, error) {
	e.s.mu.Lock()
	e.s.limits = append(e.s.limits, limit)
	e.s.mu.Unlock()
	if err := e.s.called(ctx, "batch"); err != nil {
		return 0, err
	}
	return e.Erasure.Next(ctx, limit)
}

// fakeAPI is what the API server says.
type fakeAPI struct {
	mu       sync.Mutex
	policies []retention.Policy
	holds    []retention.Hold
	err      error
	reads    int
}

func (a *fakeAPI) change(change func(*fakeAPI)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *fakeAPI) readPolicies(context.Context) ([]retention.Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.policies), nil
}

func (a *fakeAPI) readHolds(context.Context) ([]retention.Hold, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reads++
	return slices.Clone(a.holds), a.err
}

// fakeLease is held for as long as a test says.
type fakeLease struct {
	mu                          sync.Mutex
	lasts                       time.Duration
	acquireErr, renewErr        error
	acquired, renewed, released int
}

func (l *fakeLease) Acquire(context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acquired++
	return time.Now().Add(l.lasts), l.acquireErr
}

func (l *fakeLease) Renew(context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed++
	return time.Now().Add(l.lasts), l.renewErr
}

func (l *fakeLease) Release(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
	return nil
}

// bench is an eraser and everything around it.
type bench struct {
	store *watchedStore
	api   *fakeAPI
	lease *fakeLease
	clock *clocktesting.FakePassiveClock
	next  uint64
}

func newBench(t *testing.T, policies ...retention.Policy) *bench {
	t.Helper()
	return &bench{
		store: openStore(t), api: &fakeAPI{policies: policies}, lease: &fakeLease{lasts: time.Hour},
		clock: clocktesting.NewFakePassiveClock(today),
	}
}

// eraser is a new one on the same store, as after a restart.
func (b *bench) eraser(t *testing.T, modify ...func(*EraserOptions)) *Eraser {
	t.Helper()
	o := EraserOptions{
		Store: b.store, Policies: b.api.readPolicies, Holds: b.api.readHolds, Lease: b.lease, Username: username,
		ClusterName: "main", Clock: b.clock, BatchSize: 10, Throttle: -1,
	}
	for _, m := range modify {
		m(&o)
	}
	e, err := NewEraser(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// settle lets everything that the API says now be in force.
func (b *bench) settle(t *testing.T) {
	t.Helper()
	if _, err := b.eraser(t).ledger.observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.clock.SetTime(b.clock.Now().Add(time.Hour))
}

// audits stores records of an org, as many as asked for, one a minute from a day on.
func (b *bench) audits(t *testing.T, n int, org string, day time.Time, modify ...func(*record.Audit)) {
	t.Helper()
	var records []record.Record
	for i := range n {
		a := builders.Audit(append([]func(*record.Audit){func(a *record.Audit) {
			b.next++
			binary.BigEndian.PutUint64(a.ID[8:], b.next)
			a.OrgID, a.Time = org, record.At(day.Add(time.Duration(i)*time.Minute))
		}}, modify...)...)
		records = append(records, a)
	}
	outcomes, err := b.store.Store.Append(t.Context(), records)
	for _, outcome := range outcomes {
		err = errors.Join(err, outcome.Err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stored are the audits that satisfy a filter.
func (b *bench) stored(t *testing.T, filter query.Filter) []*record.Audit {
	t.Helper()
	q, err := query.Validate(query.Query{Kind: record.KindAudit, Scope: query.All(), Filter: filter, Limit: query.MaxLimit},
		record.NewSchema(record.KindAudit))
	if err != nil {
		t.Fatal(err)
	}
	page, err := b.store.List(t.Context(), q)
	if err != nil || page.Next != nil {
		t.Fatalf("list: %v, more: %t", err, page.Next != nil)
	}
	var all []*record.Audit
	for _, document := range page.Documents {
		a := &record.Audit{}
		if err := record.Decode(document, a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// left is how many records of an org are stored.
func (b *bench) left(t *testing.T, org string) int {
	t.Helper()
	return len(b.stored(t, query.Equal{Field: "org_id", Value: org}))
}

// trail are the records that runs left of themselves.
func (b *bench) trail(t *testing.T) []*record.Audit {
	t.Helper()
	return b.stored(t, query.Equal{Field: "source_type", Value: record.SourceAuditQuery})
}

// policy is one that erases after 90 days, for everything.
func policy(name string, modify ...func(*retention.Policy)) retention.Policy {
	p := retention.Policy{Name: name, UID: "uid-" + name, Rule: retention.Rule{
		Kinds: record.Kinds(), Keep: age("90d"), Mode: retention.Enforce, ChangeDelay: time.Minute,
	}}
	for _, m := range modify {
		m(&p)
	}
	return p
}

func age(text string) retention.Age {
	parsed, err := retention.ParseAge(text)
	if err != nil {
		panic(err) // a test wrote it
	}
	return parsed
}

func hold(name string, modify ...func(*retention.HoldSpec)) retention.Hold {
	h := retention.Hold{Name: name, UID: "uid-" + name, Spec: retention.HoldSpec{Kinds: record.Kinds(), ReleaseDelay: time.Hour}}
	for _, m := range modify {
		m(&h.Spec)
	}
	return h
}

// unavailable is what a store says that is down.
func unavailable() error {
	return &store.Error{Reason: store.Unavailable, Op: "erase", Message: "the store is down", Err: io.ErrUnexpectedEOF}
}

// failAt returns err at the n-th of a kind of call, counted from 1.
func failAt(kind string, n int, err error) func(string) error {
	seen := 0
	return func(call string) error {
		if call != kind {
			return nil
		}
		if seen++; seen == n {
			return err
		}
		return nil
	}
}

// ago is a day before today, at noon.
func ago(days int) time.Time { return today.AddDate(0, 0, -days).Add(2 * time.Hour) }

func wantLeft(t *testing.T, b *bench, want map[string]int) {
	t.Helper()
	for org, n := range want {
		if got := b.left(t, org); got != n {
			t.Errorf("%d records of %s are left, want %d", got, org, n)
		}
	}
}

func mustRun(t *testing.T, e *Eraser, policies ...string) Report {
	t.Helper()
	report, err := e.Run(t.Context(), policies...)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return report
}

func describeTrail(all []*record.Audit) (texts []string) {
	for _, a := range all {
		texts = append(texts, fmt.Sprintf("%s %s %s", a.Outcome, a.TargetResourceName, a.Description))
	}
	slices.Sort(texts)
	return texts
}
