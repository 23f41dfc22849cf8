package retention

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"auditquery.dev/auditquery/internal/retention"
)

const (
	// LeaseName is the name of the Lease that who erases holds. It is not the one
	// of leader election, which a process that was stopped for a while may believe
	// to hold although another leads.
	LeaseName = "auditquery-retention"
	// LeaseDuration is how long the lease is held without being renewed. It
	// outlives a batch that begins right after half of it.
	LeaseDuration = 2 * retention.BatchTimeout
	// leaseMargin is how much earlier its holder gives the lease up than others
	// take it: clocks that run at different speeds differ by less.
	leaseMargin = 2 * time.Second
)

// ErrLeaseLost means that the lease was not renewed in time, or that another process
// has it. Nothing may be erased any more.
var ErrLeaseLost = errors.New("the lease to erase is lost")

// LeaseHeldError means that another process may be erasing.
type LeaseHeldError struct {
	// RetryAfter is when the lease can be taken at the earliest.
	RetryAfter time.Duration
}

func (e *LeaseHeldError) Error() string { return "another process holds the lease to erase" }

// Lease lets one process at a time erase. Instants are of the machine's clock, and
// have its monotonic reading.
type Lease interface {
	// Acquire takes the lease and returns until when nobody else can take it.
	// The error is a *LeaseHeldError while another process may have it.
	Acquire(ctx context.Context) (until time.Time, err error)
	// Renew is Acquire for who has it: ErrLeaseLost otherwise.
	Renew(ctx context.Context) (until time.Time, err error)
	// Release gives the lease back, if it is ours. Whoever calls it has no call
	// under way that erases.
	Release(ctx context.Context) error
}

// KubernetesLease is a Lease object. It trusts no clock but its own: what another
// process has written into the object it only compares with what it saw there
// before, and takes the lease when that did not change for the whole duration.
type KubernetesLease struct {
	reader   client.Reader
	writer   client.Writer
	key      types.NamespacedName
	identity string
	clock    clock.PassiveClock

	mu    sync.Mutex
	seen  string
	since time.Time
	until time.Time
}

var _ Lease = (*KubernetesLease)(nil)

// NewKubernetesLease returns the lease in a namespace for a process with an identity
// that no other process ever has. The reader must not be a cache.
func NewKubernetesLease(reader client.Reader, writer client.Writer, namespace, identity string, clock clock.PassiveClock) *KubernetesLease {
	return &KubernetesLease{
		reader: reader, writer: writer, key: types.NamespacedName{Namespace: namespace, Name: LeaseName},
		identity: identity, clock: clock,
	}
}

// Acquire implements Lease.
func (l *KubernetesLease) Acquire(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := &coordinationv1.Lease{}
	err := l.reader.Get(ctx, l.key, found)
	switch {
	case apierrors.IsNotFound(err):
		return l.write(func(lease *coordinationv1.Lease) error { return l.writer.Create(ctx, lease) }, l.fresh())
	case err != nil:
		return time.Time{}, fmt.Errorf("read the lease to erase: %w", err)
	}
	if wait := l.wait(found); wait > 0 {
		return time.Time{}, &LeaseHeldError{RetryAfter: wait}
	}
	return l.write(func(lease *coordinationv1.Lease) error { return l.writer.Update(ctx, lease) }, found)
}

// Renew implements Lease.
func (l *KubernetesLease) Renew(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := &coordinationv1.Lease{}
	err := l.reader.Get(ctx, l.key, found)
	switch {
	case apierrors.IsNotFound(err):
		return time.Time{}, ErrLeaseLost
	case err != nil:
		return time.Time{}, fmt.Errorf("read the lease to erase: %w", err)
	}
	if ptr.Deref(found.Spec.HolderIdentity, "") != l.identity || !ahead(l.clock.Now(), l.until) {
		return time.Time{}, ErrLeaseLost
	}
	until, err := l.write(func(lease *coordinationv1.Lease) error { return l.writer.Update(ctx, lease) }, found)
	if held := (*LeaseHeldError)(nil); errors.As(err, &held) {
		return time.Time{}, ErrLeaseLost
	}
	return until, err
}

// Release implements Lease.
func (l *KubernetesLease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
	found := &coordinationv1.Lease{}
	if err := l.reader.Get(ctx, l.key, found); err != nil {
		return client.IgnoreNotFound(err)
	}
	if ptr.Deref(found.Spec.HolderIdentity, "") != l.identity {
		return nil
	}
	found.Spec.HolderIdentity = ptr.To("")
	err := l.writer.Update(ctx, found)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// wait returns for how long the lease cannot be taken yet. Another holder's lease
// is over when what it wrote has stayed the same for a whole duration.
func (l *KubernetesLease) wait(found *coordinationv1.Lease) time.Duration {
	holder := ptr.Deref(found.Spec.HolderIdentity, "")
	if holder == "" || holder == l.identity {
		return 0
	}
	mark := string(found.UID) + "/" + found.ResourceVersion
	now := l.clock.Now()
	if mark != l.seen {
		l.seen, l.since = mark, now
	}
	duration := max(LeaseDuration, time.Duration(ptr.Deref(found.Spec.LeaseDurationSeconds, 0))*time.Second)
	return duration - now.Sub(l.since)
}

func (l *KubernetesLease) fresh() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.key.Namespace, Name: l.key.Name}}
}

// write makes the lease ours, as of before the request was sent. The API server
// refuses it when another wrote since the object was read.
func (l *KubernetesLease) write(send func(*coordinationv1.Lease) error, lease *coordinationv1.Lease) (time.Time, error) {
	began := l.clock.Now()
	stamp := metav1.NewMicroTime(began)
	if ptr.Deref(lease.Spec.HolderIdentity, "") != l.identity {
		lease.Spec.AcquireTime = &stamp
		lease.Spec.LeaseTransitions = ptr.To(ptr.Deref(lease.Spec.LeaseTransitions, 0) + 1)
	}
	lease.Spec.HolderIdentity = ptr.To(l.identity)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(LeaseDuration / time.Second))
	lease.Spec.RenewTime = &stamp
	err := send(lease)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return time.Time{}, &LeaseHeldError{RetryAfter: LeaseDuration}
	case err != nil:
		return time.Time{}, fmt.Errorf("write the lease to erase: %w", err)
	}
	l.until = began.Add(LeaseDuration - leaseMargin)
	return l.until, nil
}

// ahead tells whether an instant is still to come, by the monotonic clock and by the
// wall clock. The former stands still while a machine sleeps, the latter can be set.
func ahead(now, instant time.Time) bool {
	return now.Before(instant) && now.Round(0).Before(instant.Round(0))
}
