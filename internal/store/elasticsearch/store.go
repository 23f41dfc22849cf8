package elasticsearch

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Store keeps records in Elasticsearch. Its methods may be called from several
// goroutines.
type Store struct {
	client    *client
	catalogue *catalogue
	maker     *indexMaker
	schemas   map[record.Kind]*record.Schema
	sizes     sizes
	close     context.CancelFunc
	bodies    sync.Pool     // of *[]byte, of bulks that are done
	bulks     chan struct{} // one for each bulk request that is under way
	unsure    unsure
	marked    sync.Map // names of notes that are known to be in the state
}

var (
	_ store.Reader         = (*Store)(nil)
	_ store.BatchReader    = (*Store)(nil)
	_ store.Writer         = (*Store)(nil)
	_ store.PreparedWriter = (*Store)(nil)
	_ store.Store          = (*Store)(nil)
)

// Open checks the options and reads the files that they name. It does not wait
// for Elasticsearch: a server starts while its store is down.
func Open(_ context.Context, o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	sessions, err := newSessions(o)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	s := &Store{
		client:  &client{sessions: sessions, maxRetries: max(o.MaxRetries, 0), timeout: o.RequestTimeout, sleep: sleep},
		schemas: map[record.Kind]*record.Schema{},
		close:   cancel,
		bulks:   make(chan struct{}, o.BulkRequests),
	}
	for _, kind := range record.Kinds() {
		s.schemas[kind] = record.NewSchema(kind)
	}
	s.catalogue = &catalogue{client: s.client, names: names{prefix: o.IndexPrefix}, clock: o.Clock, life: life}
	s.maker = &indexMaker{catalogue: s.catalogue, options: o, turn: make(chan struct{}, 1), templates: map[record.Kind]bool{}}
	return s, nil
}

// Close ends what goes on in the background and the connections that are idle.
func (s *Store) Close() error {
	s.close()
	s.client.sessions.close()
	return nil
}

// List returns one page, newest first.
func (s *Store) List(ctx context.Context, q query.Query) (store.Page, error) {
	page, err := s.list(ctx, q)
	if err != nil {
		return store.Page{}, explainQuery("list", q.Kind, err)
	}
	return page, nil
}

func (s *Store) list(ctx context.Context, q query.Query) (store.Page, error) {
	documents, err := s.collect(ctx, q)
	if err != nil {
		return store.Page{}, err
	}
	return pageOf(documents, q.Limit)
}

// Get returns the document with an id if scope allows it.
func (s *Store) Get(ctx context.Context, kind record.Kind, id record.ID, scope query.Scope) ([]byte, error) {
	q := query.Query{Kind: kind, Scope: scope, Limit: 1, Filter: query.Equal{Field: fieldID, Value: id.String()}}
	page, err := s.list(ctx, q)
	if err != nil {
		return nil, explainQuery("get", kind, err)
	}
	if len(page.Documents) == 0 {
		return nil, &store.Error{Reason: store.NotFound, Op: "get " + string(kind), Message: "there is no record " + id.String()}
	}
	return page.Documents[0], nil
}

// Count returns how many records match.
func (s *Store) Count(ctx context.Context, q query.Query, atMost int) (store.Count, error) {
	q.After = nil
	asked, err := s.pageSearch(q, 0, totals(atMost))
	if err != nil {
		return store.Count{}, explainQuery("count", q.Kind, err)
	}
	a, err := s.run(ctx, q.Kind, window(q), asked)
	if err != nil {
		return store.Count{}, explainQuery("count", q.Kind, err)
	}
	return store.Count{Records: a.total, Exact: a.totalExact}, nil
}

// totals writes the bound of a count for track_total_hits.
func totals(atMost int) string {
	if atMost > 0 {
		return strconv.Itoa(atMost)
	}
	return "true"
}

// explainQuery is explain for a question; what query refuses is Invalid.
func explainQuery(op string, kind record.Kind, err error) error {
	op += " " + string(kind)
	var refused *query.Error
	if errors.As(err, &refused) {
		return &store.Error{Reason: store.Invalid, Op: op, Message: refused.Error(), Err: err}
	}
	return explain(op, err)
}
