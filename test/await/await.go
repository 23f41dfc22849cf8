// Package await lets tests wait for what happens elsewhere: it polls a
// condition and fails the test with what was waited for.
package await

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// interval is short: conditions are cheap and tests many.
	interval = 20 * time.Millisecond
	// patience is long: a machine that runs other tests is slow, and only a
	// failing test waits for it.
	patience = time.Minute
)

// True polls until done is true and fails t after a minute.
func True(t testing.TB, what string, done func() bool) {
	t.Helper()
	Nil(t, what, func(context.Context) error {
		if !done() {
			return errors.New("not yet")
		}
		return nil
	})
}

// Nil polls until check returns nil. It fails t after a minute, with check's
// last error.
func Nil(t testing.TB, what string, check func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), interval, patience, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting until %s: %v; the last answer: %v", what, err, last)
	}
}
