package tenancy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// patience is how long NamespaceScope waits for what it doesn't know yet.
const patience = 2 * time.Second

// rebuildPause is how long after a rebuild the next one may begin. A change is
// taken in at once when there was none before it, so that a binding that is gone
// stops to matter, and a burst of changes costs a few rebuilds.
const rebuildPause = 100 * time.Millisecond

// Directory answers from the Index of what is known now. It is told of tenants and
// namespaces by Set and Remove, and rebuilds its Index in Run; until Run has begun
// every answer is ErrNotReady. Its methods may be called from several goroutines.
// Reading takes no lock.
type Directory struct {
	current atomic.Pointer[Index]
	rebuilt atomic.Int64 // nanoseconds that the last rebuild took
	changed chan struct{}

	mu         sync.Mutex
	tenants    map[string]Tenant
	namespaces map[string]Namespace
	listeners  map[int]func(tenants []string)
	next       int
	built      chan struct{} // closed by the next rebuild
}

// NewDirectory returns a Directory that knows nothing yet.
func NewDirectory() *Directory {
	return &Directory{
		changed: make(chan struct{}, 1), built: make(chan struct{}),
		tenants: map[string]Tenant{}, namespaces: map[string]Namespace{}, listeners: map[int]func([]string){},
	}
}

// SetTenant takes in an AuditTenant as it is now.
func (d *Directory) SetTenant(t Tenant) {
	d.mu.Lock()
	known, ok := d.tenants[t.Name]
	d.mu.Unlock()
	if ok && known.UID == t.UID && known.Generation == t.Generation {
		return // its status was written: the spec is the same
	}
	d.change(func() { d.tenants[t.Name] = t })
}

// RemoveTenant forgets an AuditTenant.
func (d *Directory) RemoveTenant(name string) { d.change(func() { delete(d.tenants, name) }) }

// SetNamespace takes in a namespace as it is now.
func (d *Directory) SetNamespace(n Namespace) {
	d.mu.Lock()
	same := d.namespaces[n.Name] == n
	d.mu.Unlock()
	if !same { // labels and annotations change often, and mean nothing here
		d.change(func() { d.namespaces[n.Name] = n })
	}
}

// RemoveNamespace forgets a namespace.
func (d *Directory) RemoveNamespace(name string) { d.change(func() { delete(d.namespaces, name) }) }

func (d *Directory) change(apply func()) {
	d.mu.Lock()
	apply()
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default: // a rebuild is coming anyway
	}
}

// Run builds the Index of what was taken in so far, which must be all that there
// is, and then keeps up with changes until ctx is done. It may be called once.
func (d *Directory) Run(ctx context.Context) error {
	d.rebuild()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.changed:
			d.rebuild()
		}
		pause := time.NewTimer(rebuildPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

func (d *Directory) rebuild() {
	began := time.Now()
	d.mu.Lock()
	tenants := slices.Collect(maps.Values(d.tenants))
	namespaces := slices.Collect(maps.Values(d.namespaces))
	d.mu.Unlock()
	old := d.current.Load()
	next := newIndex(tenants, namespaces, old)
	// Listeners are told of what they can read, and those that come while this
	// goes on are told of everything.
	d.mu.Lock()
	d.current.Store(next)
	close(d.built)
	d.built = make(chan struct{})
	listeners := slices.Collect(maps.Values(d.listeners))
	d.mu.Unlock()
	d.rebuilt.Store(int64(time.Since(began)))
	names := next.changed(old)
	for _, tell := range listeners {
		tell(names)
	}
}

// Listen calls tell with the names of the tenants whose verdicts have changed, now
// with all that there are, until the returned function is called. Tell must not
// block.
func (d *Directory) Listen(tell func(tenants []string)) (end func()) {
	d.mu.Lock()
	id := d.next
	d.next++
	d.listeners[id] = tell
	current := d.current.Load()
	d.mu.Unlock()
	if current != nil {
		tell(current.changed(nil))
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.listeners, id)
	}
}

// Ready tells whether tenants and namespaces have been read.
func (d *Directory) Ready() bool { return d.current.Load() != nil }

// Index returns what is known now. The error is ErrNotReady. Several questions
// that must agree with each other should ask one Index.
func (d *Directory) Index() (*Index, error) {
	if current := d.current.Load(); current != nil {
		return current, nil
	}
	return nil, ErrNotReady
}

// Scope returns what a namespace may see. The error is ErrNotReady, which must not
// be shown as an empty answer; ErrUnknownNamespace for a namespace that does not
// exist, which sees nothing (see Nothing); or a *TooManyClaimsError.
func (d *Directory) Scope(namespace string) (query.Scope, error) {
	x, err := d.Index()
	if err != nil {
		return query.Scope{}, err
	}
	return x.Scope(namespace)
}

// NamespaceScope is Scope for a namespace that the caller knows to exist, such as
// that of an object that it was given. Where the namespace is not known yet, at
// start or just after it was made, it waits for a moment.
func (d *Directory) NamespaceScope(ctx context.Context, namespace string) (query.Scope, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		d.mu.Lock()
		built := d.built
		d.mu.Unlock()
		scope, err := d.Scope(namespace)
		if !errors.Is(err, ErrNotReady) && !errors.Is(err, ErrUnknownNamespace) {
			return scope, err
		}
		select {
		case <-built:
		case <-ctx.Done():
			return scope, err
		case <-deadline.C:
			return scope, err
		}
	}
}

// Claimant returns the namespace that claims an org id, see Index.Claimant. The
// error is ErrNotReady.
func (d *Directory) Claimant(orgID string) (string, error) {
	x, err := d.Index()
	if err != nil {
		return "", err
	}
	return x.Claimant(orgID), nil
}

// Owns tells whether an org id is one of a namespace's, see Index.Owns. The error
// is ErrNotReady.
func (d *Directory) Owns(namespace, orgID string) (bool, error) {
	x, err := d.Index()
	if err != nil {
		return false, err
	}
	return x.Owns(namespace, orgID), nil
}

// NamespaceOf returns the namespace that a record belongs to. The error is
// ErrNotReady.
func (d *Directory) NamespaceOf(b *record.Common) (string, error) {
	x, err := d.Index()
	if err != nil {
		return "", err
	}
	return x.NamespaceOf(b), nil
}

// RebuildTime is how long the last rebuild took.
func (d *Directory) RebuildTime() time.Duration { return time.Duration(d.rebuilt.Load()) }
