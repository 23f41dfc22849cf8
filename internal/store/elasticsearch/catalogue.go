package elasticsearch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"golang.org/x/sync/singleflight"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxSnapshotAge bounds how old a snapshot may be that answers rely on.
	maxSnapshotAge = 5 * time.Second
	// refreshAge is when a new one is fetched while the old one still serves.
	refreshAge = 3 * time.Second
	// maxURLNames bounds the names in a URL; Elasticsearch refuses URLs over
	// 4,096 bytes.
	maxURLNames = 3 << 10
)

// catalogue knows which indices there are and which there must be.
type catalogue struct {
	client *client
	names  names
	clock  func() time.Time
	// life ends with the store; fetching is shared and outlives a request.
	life context.Context

	fetches singleflight.Group
	begun   atomic.Int64
	mu      sync.Mutex
	latest  *snapshot
}

// snapshot is what was known at a moment. It is never changed.
type snapshot struct {
	taken      time.Time
	order      int64
	generation int64
	stateFound bool
	recorded   []string
	erasing    []erasing
	erasures   int64
	present    map[string]present
}

// present is an index that exists.
type present struct {
	uuid    string
	shards  int
	kind    record.Kind
	covers  span
	problem error
}

// conflict is something in Elasticsearch that contradicts us.
func conflict(format string, args ...any) error {
	return &store.Error{Reason: store.Conflict, Op: "look at the indices", Message: fmt.Sprintf(format, args...)}
}

// get returns a snapshot that is at most maxSnapshotAge old.
func (c *catalogue) get(ctx context.Context) (*snapshot, error) {
	c.mu.Lock()
	latest := c.latest
	c.mu.Unlock()
	if latest == nil {
		return c.fetch(ctx)
	}
	switch age := c.clock().Sub(latest.taken); {
	case age < 0 || age > maxSnapshotAge:
		return c.fetch(ctx)
	case age > refreshAge:
		// The answer is not waited for: the channel is buffered, and the
		// fetch ends by the client's own timeout.
		c.fetches.DoChan("", c.load)
	}
	return latest, nil
}

// fetch waits for a snapshot that may have been begun by another request.
func (c *catalogue) fetch(ctx context.Context) (*snapshot, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-c.fetches.DoChan("", c.load):
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*snapshot), nil
	}
}

// renew returns a snapshot that was begun after the call.
func (c *catalogue) renew(ctx context.Context) (*snapshot, error) {
	c.fetches.Forget("")
	return c.fetch(ctx)
}

func (c *catalogue) load() (any, error) {
	c.mu.Lock()
	before := c.latest
	c.mu.Unlock()
	next, err := c.take(c.life, before)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest != nil && c.latest.order > next.order {
		return c.latest, nil // one that was begun later was faster
	}
	c.latest = next
	return next, nil
}

// take reads the state first: an index is in it only after it was created. One
// that was erased between the two is in neither when both are read again.
func (c *catalogue) take(ctx context.Context, before *snapshot) (*snapshot, error) {
	const tries = 5
	for try := 1; ; try++ {
		next, err := c.takeOnce(ctx, before)
		if err != nil || try == tries || !next.lacksAny() {
			return next, err
		}
		current, err := c.readState(ctx)
		if err != nil || current.Generation == next.generation {
			return next, err
		}
	}
}

func (c *catalogue) takeOnce(ctx context.Context, before *snapshot) (*snapshot, error) {
	taken, order := c.clock(), c.begun.Add(1)
	current, err := c.readState(ctx)
	if err != nil {
		return nil, err
	}
	if before != nil && current.Generation < before.generation {
		return nil, conflict("the index %s went back from generation %d to %d: it was deleted or restored from an older "+
			"snapshot; restore it, or restart this server to accept what is there",
			c.names.state(), before.generation, current.Generation)
	}
	next := &snapshot{taken: taken, order: order, generation: current.Generation, stateFound: current.found,
		recorded: current.Indices, erasing: current.Erasing, erasures: current.Erasures}
	next.present, err = c.readIndices(ctx, before)
	return next, err
}

// lacksAny tells whether the state names an index that is not there.
func (s *snapshot) lacksAny() bool {
	return slices.ContainsFunc(s.recorded, func(index string) bool {
		_, ok := s.present[index]
		return !ok
	})
}

type indexAnswer struct {
	Settings struct {
		UUID   string `json:"index.uuid"`
		Shards int    `json:"index.number_of_shards,string"`
	} `json:"settings"`
}

// readIndices lists our indices. The mapping of one is read once.
func (c *catalogue) readIndices(ctx context.Context, before *snapshot) (map[string]present, error) {
	flat := true
	var found map[string]indexAnswer
	err := c.client.object(ctx, func() esapi.Request {
		return esapi.IndicesGetSettingsRequest{Index: c.names.all(), Name: []string{"index.uuid", "index.number_of_shards"},
			FlatSettings: &flat, ExpandWildcards: expandWildcards}
	}, &found)
	if err != nil {
		return nil, err
	}
	indices := make(map[string]present, len(found))
	unknown := false
	for name, answered := range found {
		index := present{uuid: answered.Settings.UUID, shards: answered.Settings.Shards}
		if before != nil && before.present[name].uuid == index.uuid {
			index = before.present[name]
		} else {
			unknown = true
		}
		indices[name] = index
	}
	if !unknown {
		return indices, nil
	}
	marks, err := c.readMarks(ctx)
	if err != nil {
		return nil, err
	}
	for name, index := range indices {
		indices[name] = index.judged(c.names, name, marks[name])
	}
	return indices, nil
}

// judged says which kind and time an index is for, and whether it can be used.
func (p present) judged(n names, index string, mark layoutMark) present {
	p.kind, p.covers, p.problem = n.parse(index)
	if p.problem == nil {
		p.problem = mark.check(p.kind)
	}
	return p
}

type markAnswer struct {
	Mappings struct {
		Meta layoutMark `json:"_meta"`
	} `json:"mappings"`
}

func (c *catalogue) readMarks(ctx context.Context) (map[string]layoutMark, error) {
	var found map[string]markAnswer
	err := c.client.object(ctx, func() esapi.Request {
		return esapi.IndicesGetMappingRequest{Index: c.names.all(), ExpandWildcards: expandWildcards,
			FilterPath: []string{"*.mappings._meta.layout", "*.mappings._meta.kind"}}
	}, &found)
	marks := make(map[string]layoutMark, len(found))
	for name, answered := range found {
		marks[name] = answered.Mappings.Meta
	}
	return marks, err
}

// recordedIn returns the indices of a kind that hold records and touch a window,
// sorted.
func (s *snapshot) recordedIn(n names, kind record.Kind, w span) []string {
	var touched []string
	for _, index := range s.recorded {
		if k, covers, err := n.parse(index); err == nil && k == kind && covers.overlaps(w) {
			touched = append(touched, index)
		}
	}
	slices.Sort(touched)
	return touched
}
