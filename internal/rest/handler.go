package rest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/store"
	"auditquery.dev/auditquery/internal/tenancy"
	"auditquery.dev/auditquery/internal/timeexpr"
)

// Lister reads pages of records; every store.Reader is one.
type Lister interface {
	// List returns one page, as store.Reader does.
	List(ctx context.Context, q query.Query) (store.Page, error)
}

// Cursors signs and reads page tokens; *store.Cursors does.
type Cursors interface {
	// Encode signs a cursor, or returns store.ErrFilterTooLarge.
	Encode(c store.Cursor) (string, error)
	// Decode reads a token; the error is a *store.Error.
	Decode(text string) (store.Cursor, error)
}

// Tenancy says what a namespace may see. Its errors are
// tenancy.ErrUnknownNamespace, a *tenancy.TooManyClaimsError, or anything else
// while too little is known. *tenancy.Directory is one.
type Tenancy interface {
	// Scope returns what a namespace may see.
	Scope(namespace string) (query.Scope, error)
	// Owns tells whether an organisation is one of the namespace's. The
	// system namespace owns those that nobody claims.
	Owns(namespace, orgID string) (bool, error)
}

// Gate bounds what lists in flight hold in memory, in units of GateUnitBytes;
// *semaphore.Weighted is one. Those that wait here wait whoever they are, so it
// should let as many ordinary lists through as priority and fairness does.
type Gate interface {
	// Acquire waits until n units are free, or ctx ends.
	Acquire(ctx context.Context, n int64) error
	// TryAcquire takes n units if they are free now.
	TryAcquire(n int64) bool
	// Release gives n units back.
	Release(n int64)
}

// GateUnitBytes is what a unit of the gate stands for. A list takes one before it
// asks the store, and more when its page turns out larger: 17 units let every page
// through.
const GateUnitBytes = 2 << 20

// Bounds of Options.StoreTimeout: the server cuts every request at 60 s, and
// what it cuts is no answer that a client can read.
const (
	DefaultStoreTimeout = 50 * time.Second
	MaxStoreTimeout     = 55 * time.Second
)

// Options are what a Handler needs.
type Options struct {
	// Store, Cursors, Tenancy, Gate and Metrics must be set.
	Store   Lister
	Cursors Cursors
	Tenancy Tenancy
	Gate    Gate
	Metrics prometheus.Registerer
	// Now reads the clock; nil is time.Now. Both ends of a window go by one
	// reading.
	Now func() time.Time
	// StoreTimeout is how long one request may wait for the gate and the
	// store: DefaultStoreTimeout if 0, at most MaxStoreTimeout.
	StoreTimeout time.Duration
	// Log is told of failures that are not the client's.
	Log logr.Logger
}

// Handler serves the lists and their OpenAPI document.
type Handler struct {
	options   Options
	endpoints map[string]*endpoint
	document  []byte
	metrics   *metrics
	buffers   *buffers
}

// New returns the handler. It needs a RequestInfo in each request's context,
// and an authorization filter before it that went by it.
func New(o Options) (*Handler, error) {
	switch {
	case o.Store == nil, o.Cursors == nil, o.Tenancy == nil, o.Gate == nil, o.Metrics == nil:
		return nil, errors.New("rest: Store, Cursors, Tenancy, Gate and Metrics must be set")
	case o.StoreTimeout < 0 || o.StoreTimeout > MaxStoreTimeout:
		return nil, errors.New("rest: StoreTimeout must be from 0 to 55 s, below the server's 60 s")
	case o.StoreTimeout == 0:
		o.StoreTimeout = DefaultStoreTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	document, err := Document()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	return &Handler{options: o, endpoints: endpoints(), document: document, metrics: m, buffers: newBuffers()}, nil
}

// ServeHTTP answers for every path below GroupPrefix and OwnPrefix, and for
// DocumentPath.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	place, isPlace := placeOf(r.URL.Path)
	switch readable := r.Method == http.MethodGet || r.Method == http.MethodHead; {
	case !isPlace && r.URL.Path != DocumentPath:
		notFound().write(w, r.Method == http.MethodHead)
	case !readable:
		methodNotAllowed().write(w, false)
	case !isPlace:
		http.ServeContent(w, r, DocumentPath, time.Time{}, bytes.NewReader(h.document))
	default:
		h.serveList(w, r, h.endpoints[place.resource], place)
	}
}

// serveList counts a list's request and answers it, whole or with an error.
func (h *Handler) serveList(w http.ResponseWriter, r *http.Request, e *endpoint, p place) {
	began := h.options.Now()
	ctx, cancel := context.WithTimeout(r.Context(), h.options.StoreTimeout)
	defer cancel()
	code := http.StatusOK
	if err := h.list(ctx, w, r, e, p); err != nil {
		f := failureOf(err)
		f.write(w, r.Method == http.MethodHead)
		h.report(r, e, f)
		code = f.code
	}
	h.metrics.answered(e.resource, code, h.options.Now().Sub(began))
}

// list answers a request. With an error nothing was written.
func (h *Handler) list(ctx context.Context, w http.ResponseWriter, r *http.Request, e *endpoint, p place) error {
	namespace, err := authorizedFor(r, p)
	if err != nil {
		return err
	}
	args, err := e.readArguments(r.URL.RawQuery)
	if err != nil {
		return err
	}
	scope, err := h.scope(namespace, args.orgID)
	if err != nil {
		return err
	}
	list, err := h.begin(e, args, scope)
	if err != nil {
		return err
	}
	page, release, err := h.read(ctx, list.query)
	if err != nil {
		return err
	}
	defer release()
	next, err := h.next(list, page)
	if err != nil {
		return err
	}
	a := answer{endpoint: e, limit: args.limit, documents: page.Documents}
	next.announce(w.Header(), args.given)
	h.metrics.sent(e.resource, len(page.Documents), h.buffers.write(w, r, a))
	return nil
}

// read reads a page within the gate's bounds. Release gives back what it holds.
func (h *Handler) read(ctx context.Context, q query.Query) (page store.Page, release func(), err error) {
	const tooMany = "too many lists are being answered"
	if err := h.options.Gate.Acquire(ctx, 1); err != nil {
		return store.Page{}, nil, unavailable(tooMany, err)
	}
	held := int64(1)
	release = func() { h.options.Gate.Release(held) }
	if page, err = h.options.Store.List(ctx, q); err != nil {
		release()
		return store.Page{}, nil, err
	}
	// To wait for more with the page in hand would be to hold what others
	// wait for.
	if more := units(page) - held; more > 0 {
		if !h.options.Gate.TryAcquire(more) {
			release()
			return store.Page{}, nil, unavailable(tooMany, nil)
		}
		held += more
	}
	return page, release, nil
}

// units is what a page takes: itself, and at worst as much again compressed.
func units(page store.Page) int64 {
	size := 0
	for _, document := range page.Documents {
		size += len(document)
	}
	return int64((2*size + GateUnitBytes - 1) / GateUnitBytes)
}

// scope is what the request may see: everything, or what its namespace may. A
// namespace that does not exist sees nothing.
func (h *Handler) scope(namespace, orgID string) (query.Scope, error) {
	if namespace == "" {
		return query.All(), nil
	}
	if orgID != "" {
		owned, err := h.options.Tenancy.Owns(namespace, orgID)
		if err != nil && !errors.Is(err, tenancy.ErrUnknownNamespace) {
			return query.Scope{}, notReady(err)
		}
		if err != nil || !owned {
			return query.Scope{}, forbidden(namespace)
		}
	}
	scope, err := h.options.Tenancy.Scope(namespace)
	if errors.Is(err, tenancy.ErrUnknownNamespace) {
		return tenancy.Nothing(namespace), nil
	}
	if tooMany, ok := errors.AsType[*tenancy.TooManyClaimsError](err); ok {
		return query.Scope{}, badRequest("", "%s", tooMany)
	}
	if err != nil {
		return query.Scope{}, notReady(err)
	}
	return scope, nil
}

func notReady(cause error) *failure {
	return unavailable("it is not known yet which records the namespace may see", cause)
}

// window resolves both ends against one reading of the clock.
func (h *Handler) window(a arguments) (timeexpr.Window, error) {
	window, err := timeexpr.ParseWindow(a.from, a.to, h.options.Now())
	if err != nil {
		return timeexpr.Window{}, windowError(err)
	}
	return window, nil
}

// report logs what an operator should know. A client that went away is none of
// it.
func (h *Handler) report(r *http.Request, e *endpoint, f *failure) {
	if f.code < http.StatusInternalServerError || r.Context().Err() != nil {
		return
	}
	h.options.Log.Error(f.cause, "list failed", "resource", e.resource, "code", f.code, "message", f.message)
}
