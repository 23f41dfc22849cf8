package auditquery

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"auditquery.dev/auditquery/api/v1alpha1"
)

// memory holds what the controller knows of objects beyond what a cache shows:
// its own last write, which the cache may not have seen yet, and when to go on.
// All of it may be lost; status then tells enough. It has one entry for each
// object that exists.
type memory struct {
	mu      sync.Mutex
	entries map[types.NamespacedName]memo
}

// memo is what is known of one object.
type memo struct {
	uid types.UID

	// version is the resourceVersion of our last write, status what it left
	// behind, without rows, and rows what is known of these.
	version string
	status  v1alpha1.AuditQueryStatus
	rows    rowSet

	// asked is the digest of the question that the results answer; empty when
	// it is not known.
	asked string

	// generation is the one that due, failures and held are about.
	generation int64
	// due is when the next run starts; zero when it is to be computed.
	due time.Time
	// failures is the number of failures in a row.
	failures int
	// held is since when the budget has held the run back; zero when it does
	// not.
	held time.Time
}

func newMemory() *memory { return &memory{entries: map[types.NamespacedName]memo{}} }

// recall returns what is known of an object. A memo of another object of that
// name is forgotten, and what belongs to an earlier spec is reset.
func (m *memory) recall(key types.NamespacedName, uid types.UID, generation int64) memo {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.entries[key]
	if known.uid != uid {
		known = memo{uid: uid}
	}
	if known.generation != generation {
		known.generation, known.due, known.failures, known.held = generation, time.Time{}, 0, time.Time{}
	}
	return known
}

func (m *memory) remember(key types.NamespacedName, known memo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries[key] = known
}

func (m *memory) forget(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
}

// newerThan tells whether our last write is newer than an object that a cache
// shows.
func (k *memo) newerThan(version string) bool {
	if k.version == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(k.version, version)
	return err == nil && order > 0
}
