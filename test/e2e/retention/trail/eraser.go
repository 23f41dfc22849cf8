package trail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	eraser "auditquery.dev/auditquery/controllers/retention"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/retention"
)

// Username is who erases.
const Username = "system:serviceaccount:auditquery-system:auditquery-controller"

// ownRun tells whether a record is one that the eraser wrote of itself.
func ownRun(r record.Record) bool { return r.Base().UserID == Username }

// API stands in for the kube-apiserver. Its methods may be called from any goroutine.
type API struct {
	mutex sync.Mutex
	says  Declared
	// Listed, if set, is called before each list of holds.
	Listed func()
}

// NewAPI says what was declared.
func NewAPI(d Declared) *API {
	a := &API{}
	a.Set(d)
	return a
}

// Set replaces what it says.
func (a *API) Set(d Declared) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.says = d.Clone()
}

// Policies lists the policies.
func (a *API) Policies(context.Context) ([]retention.Policy, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return slices.Clone(a.says.Policies), nil
}

// Holds lists the holds.
func (a *API) Holds(context.Context) ([]retention.Hold, error) {
	if a.Listed != nil {
		a.Listed()
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return slices.Clone(a.says.Holds), nil
}

// NewEraser returns an eraser that shares the store with nobody. It makes small
// batches without pauses.
func NewEraser(s Store, api *API, clock clock.PassiveClock, modify ...func(*eraser.EraserOptions)) (*eraser.Eraser, error) {
	o := eraser.EraserOptions{
		Store: s, Policies: api.Policies, Holds: api.Holds, Lease: always{},
		Username: Username, ClusterName: "local", Clock: clock, Throttle: -1,
	}
	for _, m := range modify {
		m(&o)
	}
	return eraser.NewEraser(o)
}

// Finished runs an eraser and fails unless everything was erased that was due, or
// nothing may be.
func Finished(ctx context.Context, e *eraser.Eraser) (eraser.Report, error) {
	report, err := e.Run(ctx)
	if err != nil {
		return report, fmt.Errorf("run: %w", err)
	}
	var failures []string
	for _, p := range report.Policies {
		failures = append(failures, p.Errors...)
	}
	switch {
	case len(failures) > 0:
		return report, errors.New("run: " + strings.Join(failures, "; "))
	case !report.Finished && len(report.Blocked) == 0:
		return report, errors.New("the run is not finished, and says no reason")
	}
	return report, nil
}

// always is the lease of who is alone.
type always struct{}

func (always) Acquire(context.Context) (time.Time, error) { return time.Now().Add(time.Hour), nil }
func (always) Renew(context.Context) (time.Time, error)   { return time.Now().Add(time.Hour), nil }
func (always) Release(context.Context) error              { return nil }
