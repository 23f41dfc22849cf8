package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/store"
)

// predicates are the questions that callers ask of an error.
func predicates() map[store.Reason]func(error) bool {
	return map[store.Reason]func(error) bool{
		store.NotFound: store.IsNotFound, store.Invalid: store.IsInvalid, store.Expired: store.IsExpired,
		store.Unavailable: store.IsUnavailable, store.Timeout: store.IsTimeout, store.Conflict: store.IsConflict,
	}
}

func TestEachReasonHasItsPredicateAlone(t *testing.T) {
	for reason := range predicates() {
		for wrapping, err := range map[string]error{
			"bare":             &store.Error{Reason: reason},
			"wrapped":          fmt.Errorf("run query: %w", &store.Error{Reason: reason}),
			"joined":           errors.Join(errors.New("first"), &store.Error{Reason: reason}),
			"around another":   &store.Error{Reason: reason, Err: &store.Error{Reason: store.Reason(99)}},
			"around a timeout": &store.Error{Reason: reason, Err: context.DeadlineExceeded},
		} {
			if got := store.ReasonOf(err); got != reason {
				t.Errorf("%s %s: reason %s", wrapping, reason, got)
			}
			for other, is := range predicates() {
				if is(err) != (other == reason) {
					t.Errorf("%s %s: the predicate of %s says %t", wrapping, reason, other, is(err))
				}
			}
		}
	}
}

func TestOtherErrorsHaveNoReason(t *testing.T) {
	for name, err := range map[string]error{
		"no error": nil, "a plain error": errors.New("unavailable"), "a context's error": context.DeadlineExceeded,
	} {
		if got := store.ReasonOf(err); got != 0 {
			t.Errorf("%s has the reason %s", name, got)
		}
		for reason, is := range predicates() {
			if is(err) {
				t.Errorf("%s is %s", name, reason)
			}
		}
	}
}

func TestErrorTextNeverHoldsItsCause(t *testing.T) {
	cause := &url.Error{Op: "Post", URL: "https://elastic:s3cret@store.example:9200/_search", Err: context.DeadlineExceeded}
	err := fmt.Errorf("controller: %w", &store.Error{
		Reason: store.Timeout, Op: "list Audit", Message: "no answer in 30s", RetryAfter: time.Second, Err: cause,
	})
	if want := "controller: list Audit: timeout: no answer in 30s"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	for _, secret := range []string{"s3cret", "store.example", "9200"} {
		if strings.Contains(fmt.Sprintf("%v %s %q", err, err, err), secret) {
			t.Errorf("the text of %q holds %q", err, secret)
		}
	}
	var found *url.Error
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &found) {
		t.Error("the cause cannot be found any more")
	}
}

func TestReasonsAndResultsHaveTexts(t *testing.T) {
	seen := map[string]bool{}
	for reason := range predicates() {
		if text := reason.String(); text == "unknown" || seen[text] {
			t.Errorf("reason %d is called %q", reason, text)
		} else {
			seen[text] = true
		}
	}
	seen = map[string]bool{}
	for result := store.Stored; result <= store.Failed; result++ {
		if text := result.String(); text == "unknown" || seen[text] {
			t.Errorf("result %d is called %q", result, text)
		} else {
			seen[text] = true
		}
	}
	if reason, result := store.Reason(0).String(), store.Result(0).String(); reason != "unknown" || result != "unknown" {
		t.Errorf("no reason is called %q, no result %q", reason, result)
	}
}
