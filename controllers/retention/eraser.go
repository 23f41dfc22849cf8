package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
	"auditquery.dev/auditquery/internal/store"
)

// Defaults of an Eraser.
const (
	// DefaultBatchSize is how many records one batch erases at most.
	DefaultBatchSize = 2000
	// MaxBatchSize is the largest batch: one must end well within
	// retention.BatchTimeout.
	MaxBatchSize = store.MaxErasureBatch
	// DefaultThrottle is the pause after a batch, as a part of its time.
	DefaultThrottle = 0.25
	// MaxThrottle makes a run ten times slower than the store could be.
	MaxThrottle = 10.0
	// DefaultMaxRun bounds one run; what is left is for the next.
	DefaultMaxRun = 30 * time.Minute
)

// Store is what the controller needs of a store of records.
type Store interface {
	store.Reader
	store.Writer
	store.Deleter
	store.Notebook
}

// EraserOptions are what an Eraser needs. Fields without a default must be set.
type EraserOptions struct {
	// Store holds the records, and what must be remembered.
	Store Store
	// Policies and Holds return what the API says now: never from a cache, and
	// all or an error. ErrNotServed means that the API has no such kind.
	Policies func(context.Context) ([]retention.Policy, error)
	Holds    func(context.Context) ([]retention.Hold, error)
	// Lease lets one process at a time erase.
	Lease Lease
	// Username is who erases, as records say it. Identify, needed without it,
	// finds that out when the first run begins.
	Username string
	Identify func(context.Context) (string, error)
	// ClusterName is the cluster's name in records.
	ClusterName string
	// Clock is the clock of decisions: what is due, what has settled. How long
	// the lease and a batch last is measured by the machine's clock in any
	// case. Default: the machine's.
	Clock clock.PassiveClock
	// BatchSize is how many records one batch erases at most, up to
	// MaxBatchSize. Default: DefaultBatchSize.
	BatchSize int
	// Throttle is the pause after a batch as a part of the time that it took:
	// 1 makes a run take twice as long as it could. Negative: no pause.
	// Default: DefaultThrottle.
	Throttle float64
	// MaxRun bounds the time of one run. Default: DefaultMaxRun.
	MaxRun time.Duration
	// Registerer takes the metrics. Default: none are kept.
	Registerer prometheus.Registerer
	// Log is told what is erased. Default: nobody.
	Log logr.Logger
}

func (o *EraserOptions) complete() error {
	var errs []error
	need := func(missing bool, name string) {
		if missing {
			errs = append(errs, fmt.Errorf("option %s is missing", name))
		}
	}
	need(o.Store == nil, "Store")
	need(o.Policies == nil, "Policies")
	need(o.Holds == nil, "Holds")
	need(o.Lease == nil, "Lease")
	need(o.Username == "" && o.Identify == nil, "Username")
	need(o.ClusterName == "", "ClusterName")
	if o.BatchSize < 0 || o.BatchSize > MaxBatchSize || !(o.Throttle <= MaxThrottle) || o.MaxRun < 0 {
		errs = append(errs, errors.New("options BatchSize, Throttle and MaxRun are out of bounds"))
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.BatchSize == 0 {
		o.BatchSize = DefaultBatchSize
	}
	if o.Throttle == 0 {
		o.Throttle = DefaultThrottle
	}
	if o.MaxRun == 0 {
		o.MaxRun = DefaultMaxRun
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return errors.Join(errs...)
}

// Eraser executes plans. One at a time runs, here and in every process that shares
// the lease.
type Eraser struct {
	EraserOptions
	ledger  *ledger
	journal *journal
	metrics *metrics
}

// NewEraser returns an Eraser. It starts nothing.
func NewEraser(o EraserOptions) (*Eraser, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("eraser: %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("metrics of the eraser: %w", err)
	}
	return &Eraser{
		EraserOptions: o, metrics: m,
		ledger:  &ledger{notes: o.Store, policies: o.Policies, holds: o.Holds, clock: o.Clock},
		journal: &journal{notes: o.Store},
	}, nil
}

// Report is what a run did.
type Report struct {
	// Started and Ended are by the clock of decisions.
	Started, Ended time.Time
	// Policies are those of which a step was taken, by name.
	Policies map[string]PolicyReport
	// Blocked says in sentences why nothing may be erased at all.
	Blocked []string
	// Finished: everything is gone that was due when the run last looked, but
	// for what Policies have errors of.
	Finished bool
	// PlannedAt is when the run last looked, by the clock of decisions, and
	// States is what was known of the policies then, by name.
	PlannedAt time.Time
	States    map[string]retention.PolicyState
}

// PolicyReport is what a run did for one policy.
type PolicyReport struct {
	Name, UID string
	// Erased is what went, by kind. With AtLeast more may have gone: nobody
	// knows what a call did of which the answer was lost.
	Erased  map[record.Kind]Gone
	AtLeast bool
	// Errors are the first few failures, in sentences; Failures is how many
	// there were.
	Errors   []string
	Failures int
}

// Gone is what was erased of a kind.
type Gone struct {
	Records int64 `json:"records"`
	// Bytes is about what they took.
	Bytes int64 `json:"bytes"`
	// From and Until bound their times; From is zero when it is not known.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Totals sums over the kinds.
func (p PolicyReport) Totals() (records, bytes int64) {
	for _, gone := range p.Erased {
		records += gone.Records
		bytes += gone.Bytes
	}
	return records, bytes
}

// Run erases what is due: of the named policies, or of all when none is named. It
// may be broken off at any point and run again, but is not called again before it
// has returned.
//
// A stretch that goes as a whole goes once it is due by all the policies that decide
// about its records, with the first run of any of them. It is told of the one that
// kept its records longest, also when that was not named.
//
// The report is good whatever the error is. The error is a *LeaseHeldError while
// another process may be erasing; ErrLeaseLost; a *store.Error where the store could
// not go on; or what ended ctx. Failures that concern one step alone are in the
// report, and so is what forbids to erase.
func (e *Eraser) Run(ctx context.Context, policies ...string) (Report, error) {
	r := newRun(e, policies)
	err := r.begin(ctx)
	if err == nil {
		err = r.erase(ctx)
		err = errors.Join(err, r.tell(ctx))
		err = errors.Join(err, r.conclude(ctx, err))
	}
	return r.report(), errors.Join(err, r.release(ctx))
}

// Recover clears up what a process that died left half done, and erases nothing: until
// then late records of a stretch that it was erasing are not taken. The error is as
// that of Run.
func (e *Eraser) Recover(ctx context.Context) error {
	r := newRun(e, nil)
	err := r.begin(ctx)
	return errors.Join(err, r.release(ctx))
}

// report is a copy of what the run did so far.
func (r *run) report() Report {
	out := Report{
		Started: r.started, Ended: r.e.Clock.Now(), Policies: map[string]PolicyReport{},
		Blocked: r.blocked, Finished: r.finished, PlannedAt: r.plannedAt, States: r.states,
	}
	for name, p := range r.done {
		copied := *p
		copied.Errors = slices.Clone(p.Errors)
		copied.Erased = maps.Clone(p.Erased)
		out.Policies[name] = copied
	}
	return out
}
