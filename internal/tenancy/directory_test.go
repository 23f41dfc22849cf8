package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/test/await"
)

// running returns a Directory that keeps up with changes until the test ends.
func running(t *testing.T, prepare func(*Directory)) *Directory {
	t.Helper()
	d := NewDirectory()
	prepare(d)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := d.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
	await.True(t, "the directory is ready", d.Ready)
	return d
}

func TestNothingIsKnownBeforeEverythingIsRead(t *testing.T) {
	d := NewDirectory()
	d.SetNamespace(Namespace{Name: "shop", Created: epoch})
	d.SetTenant(tenant("t", "shop", 0, "acme"))
	_, scopeErr := d.Scope("shop")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, resolveErr := d.NamespaceScope(over, "shop")
	_, claimantErr := d.Claimant("acme")
	_, ownsErr := d.Owns("shop", "acme")
	_, ofErr := d.NamespaceOf(&record.Common{})
	for what, err := range map[string]error{
		"Scope": scopeErr, "NamespaceScope": resolveErr, "Claimant": claimantErr, "Owns": ownsErr, "NamespaceOf": ofErr,
	} {
		if !errors.Is(err, ErrNotReady) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if d.Ready() {
		t.Error("it says that it is ready")
	}
}

func TestChangesAreTakenIn(t *testing.T) {
	d := running(t, func(d *Directory) {
		for _, ns := range named("a", "b") {
			d.SetNamespace(ns)
		}
		d.SetTenant(tenant("early", "a", 0, "acme"))
		d.SetTenant(tenant("late", "b", 1, "acme"))
	})
	claimant := func(want string) func() bool {
		return func() bool { got, err := d.Claimant("acme"); return err == nil && got == want }
	}
	if !claimant("a")() {
		t.Error("what was known before it ran is missing")
	}
	d.RemoveTenant("early")
	await.True(t, "the later binding stands", claimant("b"))
	d.RemoveNamespace("b")
	await.True(t, "nobody claims it", claimant(SystemNamespace))
	d.SetNamespace(Namespace{Name: "b", Created: at(100)})
	await.True(t, "the namespace that was made again has it", claimant("b"))
	await.True(t, "it sees nothing of its predecessor", func() bool {
		scope, err := d.Scope("b")
		return err == nil && !holds(scope.Restrict, event("b", 50)) && holds(scope.Restrict, event("b", 100))
	})
}

// TestANewNamespaceIsWaitedFor: what lies in a namespace may be seen before it.
func TestANewNamespaceIsWaitedFor(t *testing.T) {
	d := running(t, func(*Directory) {})
	// Late enough to be waited for, mostly; the answer is the same if not.
	made := time.AfterFunc(30*time.Millisecond, func() {
		d.SetNamespace(Namespace{Name: "other", Created: epoch})
		d.SetNamespace(Namespace{Name: "new", Created: epoch})
	})
	defer made.Stop()
	if _, err := d.NamespaceScope(t.Context(), "new"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := d.NamespaceScope(ctx, "ghost"); !errors.Is(err, ErrUnknownNamespace) {
		t.Errorf("error %v", err)
	}
}

// heard collects what a listener is told.
type heard struct {
	mu    sync.Mutex
	names []string
}

func (h *heard) tell(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, names...)
}

func (h *heard) take(want ...string) func() bool {
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, name := range want {
			if !slices.Contains(h.names, name) {
				return false
			}
		}
		if len(h.names) > 0 {
			h.names = nil
		}
		return true
	}
}

func TestListenersAreToldWhoseVerdictChanged(t *testing.T) {
	var before, after heard
	d := running(t, func(d *Directory) {
		d.Listen(before.tell)
		for _, ns := range named("a", "b") {
			d.SetNamespace(ns)
		}
		d.SetTenant(tenant("early", "a", 0, "acme"))
		d.SetTenant(tenant("late", "b", 1, "acme"))
		d.SetTenant(tenant("other", "b", 1, "globex"))
	})
	await.True(t, "the first listener is told of all", before.take("early", "late", "other"))
	end := d.Listen(after.tell)
	if !after.take("early", "late", "other")() {
		t.Error("a listener that comes later is not told of all at once")
	}
	end()
	d.RemoveTenant("early")
	await.True(t, "the conflict is over", func() bool {
		x, _ := d.Index()
		v, _ := x.Verdict("late")
		return v.Conflicting == 0
	})
	await.True(t, "it is told of the tenant whose conflict is over", before.take("late"))
	after.mu.Lock()
	defer after.mu.Unlock()
	if len(after.names) > 0 {
		t.Errorf("a listener that has left was told of %v", after.names)
	}
}

// TestReadersNeverSeeAHalf moves an org id between two namespaces while readers
// look at it: it always belongs to exactly one of them.
func TestReadersNeverSeeAHalf(t *testing.T) {
	d := running(t, func(d *Directory) {
		for _, ns := range named("a", "b") {
			d.SetNamespace(ns)
		}
		d.SetTenant(tenant("t", "a", 0, "acme"))
	})
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				x, err := d.Index()
				if err != nil {
					t.Error(err)
					return
				}
				if x.Owns("a", "acme") == x.Owns("b", "acme") {
					t.Error("the org id has not one owner")
					return
				}
			}
		})
	}
	for i := range 5 {
		namespace := []string{"b", "a"}[i%2]
		moved := tenant("t", namespace, 0, "acme")
		moved.Generation = int64(i + 2)
		d.SetTenant(moved)
		await.True(t, "it moves to "+namespace, func() bool { got, _ := d.Owns(namespace, "acme"); return got })
	}
	stop()
	readers.Wait()
}

func BenchmarkIndex(b *testing.B) {
	w := manyNamespaces(5000, 20_000)
	x := NewIndex(w.tenants, w.namespaces)
	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() {
			newIndex(w.tenants, w.namespaces, x)
		}
	})
	b.Run("first scope of the unclaimed", func(b *testing.B) {
		for b.Loop() {
			if _, err := x.systemScope(); err != nil {
				b.Fatal(err)
			}
		}
	})
	scope, err := x.Scope(SystemNamespace)
	if err != nil {
		b.Fatal(err)
	}
	for _, window := range []int{0, 2500, 4900, 10_000} {
		b.Run(fmt.Sprintf("slice from second %d", window), func(b *testing.B) {
			for b.Loop() {
				for range Slices(scope, at(float64(window)), time.Time{}) {
					break
				}
			}
		})
	}
}
