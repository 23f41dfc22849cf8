package apiserver

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/endpoints/request"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/apiserver/registry"
	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
)

// listUnit is what a list reserves before its page is read, in bytes: more than a
// page of 500 ordinary records takes with the answer that is made of it.
const listUnit = 2 << 20

// Lists bounds what lists in flight hold in memory, in units of 2 MiB. A list
// takes one and, when its page turns out larger, as many more as it needs; when
// these are not free it is refused and tried again, since to wait for them while
// holding the page would be to hold what others wait for. Waiting for the first
// is fair: by order of arrival.
type Lists struct {
	free *semaphore.Weighted
}

// NewLists returns a bound of so many units, at least as many as the largest page
// takes.
func NewLists(units int64) *Lists {
	return &Lists{free: semaphore.NewWeighted(max(units, minListUnits))}
}

// minListUnits is what the largest page takes with its answer.
const minListUnits = 1 + 2*store.MaxPageBytes/listUnit

// Acquire waits until n units are free, or ctx ends.
func (l *Lists) Acquire(ctx context.Context, n int64) error { return l.free.Acquire(ctx, n) }

// TryAcquire takes n units if they are free now.
func (l *Lists) TryAcquire(n int64) bool { return l.free.TryAcquire(n) }

// Release gives n units back.
func (l *Lists) Release(n int64) { l.free.Release(n) }

// reservation is what one list holds.
type reservation struct {
	lists *Lists
	mutex sync.Mutex
	held  int64
	done  bool
}

type reservationKey struct{}

var errListsFull = errors.New("the lists in flight hold all the memory that they may")

// grow makes the reservation large enough for a page and its answer.
func (r *reservation) grow(pageBytes int) error {
	need := int64((2*pageBytes + listUnit - 1) / listUnit)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if need <= r.held || r.done {
		return nil
	}
	if !r.lists.free.TryAcquire(need - r.held) {
		return errListsFull
	}
	r.held = need
	return nil
}

func (r *reservation) release() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.lists.Release(r.held)
	r.done = true
}

// boundLists makes lists of served records wait for their memory, and gives it
// back when they are answered. It stands behind authorization and priority and
// fairness, so that only those wait here who would be answered.
func boundLists(next http.Handler, lists *Lists, codecs runtime.NegotiatedSerializer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		info, ok := request.RequestInfoFrom(req.Context())
		if !ok || info.Verb != "list" || info.APIGroup != v1alpha1.Group {
			next.ServeHTTP(w, req)
			return
		}
		if err := lists.Acquire(req.Context(), 1); err != nil {
			responsewriters.ErrorNegotiated(tooMany(), codecs, schema.GroupVersion{Version: "v1"}, w, req)
			return
		}
		r := &reservation{lists: lists, held: 1}
		defer r.release()
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), reservationKey{}, r)))
	})
}

// boundedReader has each list account for the page that it read.
type boundedReader struct{ registry.Reader }

// List returns a page that the list may hold.
func (b boundedReader) List(ctx context.Context, q query.Query) (store.Page, error) {
	page, err := b.Reader.List(ctx, q)
	if err != nil {
		return page, err
	}
	r, ok := ctx.Value(reservationKey{}).(*reservation)
	if !ok {
		return page, nil
	}
	size := 0
	for _, d := range page.Documents {
		size += len(d)
	}
	if err := r.grow(size); err != nil {
		return store.Page{}, &store.Error{
			Reason: store.Unavailable, Op: "list", Message: "too many lists are being answered", Err: err,
		}
	}
	return page, nil
}

func tooMany() error {
	err := apierrors.NewServiceUnavailable("too many lists are being answered; try again")
	err.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: retryAfterSeconds}
	return err
}
