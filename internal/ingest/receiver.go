package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/ingest/auth"
	"auditquery.dev/auditquery/internal/ingest/budget"
	"auditquery.dev/auditquery/internal/ingest/deadletter"
	"auditquery.dev/auditquery/internal/ingest/spool"
	"auditquery.dev/auditquery/internal/record"
)

const (
	// DefaultMaxRequests is how many bodies are read at once.
	DefaultMaxRequests = 1024
	// DefaultMemoryBytes is what all requests hold together, beside the little
	// that each may hold anyway (56 KiB).
	DefaultMemoryBytes = 64 << 20
	// RequestTimeout is how long a body may take to arrive and to become durable:
	// less than the 30 s after which kube-apiserver gives up.
	RequestTimeout = 28 * time.Second
	// DefaultPatience is how long a request waits for memory.
	DefaultPatience = 2 * time.Second
)

// The paths of the ways in. PathKubernetes ends in the name of a cluster.
const (
	PathKubernetes = "/ingest/kubernetes/"
	PathBulk       = "/v1/bulk_audit_events"
	PathRecords    = "/ingest/records"
	PathReady      = "/readyz"
	PathLive       = "/livez"
)

// Spool keeps records until the store has them; *spool.Spool is one. Its methods
// may be called concurrently.
type Spool interface {
	// Append returns nil when all of the batch is durable; after an error none
	// of it counts. The errors are spool.ErrFull, spool.ErrBusy and
	// spool.ErrClosed; any other is a failure of the disk.
	Append(ctx context.Context, batch *spool.Batch) error
	// Stats says how full the spool is, and whether its disk fails.
	Stats() spool.Stats
}

// LetterBox keeps dead letters; *deadletter.Folder is one.
type LetterBox interface {
	// Put returns when the letters are durable. It may be called concurrently.
	Put(letters ...deadletter.Letter) error
}

// Ledger counts records by source; *ledger.Ledger is one. Its methods may be
// called concurrently.
type Ledger interface {
	// Received counts records that came, whole or not.
	Received(source string, n int)
	// Acknowledged counts records that are durable.
	Acknowledged(source string, n int)
	// DeadLettered counts those of them that are dead letters.
	DeadLettered(source string, cause deadletter.Cause, n int)
}

// Options are what a Receiver needs. Spool, Letters, Ledger, Known and Senders
// are required.
type Options struct {
	Spool   Spool
	Letters LetterBox
	Ledger  Ledger
	// Known has to be told of what leaves the spool.
	Known *Known
	// Senders say who may send what.
	Senders *auth.Senders
	// Events says how events become records. Its Cluster is set from each
	// request.
	Events record.KubernetesOptions
	// MaxRequests is how many bodies are read at once; 0 means
	// DefaultMaxRequests.
	MaxRequests int
	// MemoryBytes is what they hold together; 0 means DefaultMemoryBytes.
	MemoryBytes int64
	// Timeout is how long a body may take to arrive and to become durable; 0
	// means RequestTimeout.
	Timeout time.Duration
	// Patience is how long a request waits for memory; 0 means
	// DefaultPatience.
	Patience time.Duration
	// Registry gets the metrics; nil means none.
	Registry prometheus.Registerer
	Log      logr.Logger
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

func (o *Options) complete() error {
	if o.Spool == nil || o.Letters == nil || o.Ledger == nil || o.Known == nil || o.Senders == nil {
		return errors.New("a receiver needs a spool, a place for dead letters, a ledger, a set of known records, and senders")
	}
	if o.MaxRequests <= 0 {
		o.MaxRequests = DefaultMaxRequests
	}
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = DefaultMemoryBytes
	}
	if o.Timeout <= 0 {
		o.Timeout = RequestTimeout
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// Receiver is the HTTP handler of every way in. It answers 2xx when all that it
// took of a body is durable, and otherwise with an error, upon which the whole
// body may be sent again: what is stored of it already is stored once.
type Receiver struct {
	options  Options
	metrics  *metrics
	budget   *budget.Budget
	requests chan struct{}
	batches  sync.Pool // of *spool.Batch
	refusals map[refusal]*refusalLog
	mux      *http.ServeMux
}

// NewReceiver checks the options and registers the metrics.
func NewReceiver(options Options) (*Receiver, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	r := &Receiver{
		options: options, budget: budget.New(options.MemoryBytes), requests: make(chan struct{}, options.MaxRequests),
		batches:  sync.Pool{New: func() any { return new(spool.Batch) }},
		refusals: map[refusal]*refusalLog{}, mux: http.NewServeMux(),
	}
	for _, reason := range refusals() {
		r.refusals[reason] = newRefusalLog()
	}
	r.metrics = newMetrics(r.budget.Held)
	if options.Registry != nil {
		if err := r.metrics.register(options.Registry); err != nil {
			return nil, fmt.Errorf("register the receiver's metrics: %w", err)
		}
	}
	r.mux.Handle(PathKubernetes+"{cluster}", r.handler(r.eventsWay()))
	r.mux.Handle(PathBulk, r.handler(r.bulkWay()))
	r.mux.Handle(PathRecords, r.handler(r.recordsWay()))
	r.mux.Handle(PathLive, r.probe(func(w http.ResponseWriter) { writeText(w, http.StatusOK, "ok") }))
	r.mux.Handle(PathReady, r.probe(r.answerReady))
	r.mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		r.refuse(w, req, "", &refusedError{reason: refusedPath, status: http.StatusNotFound, message: "there is nothing at this path"})
	})
	return r, nil
}

// ServeHTTP answers one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// way is one kind of request.
type way struct {
	// name is a metric's label.
	name       string
	mediaTypes []string
	// open decides by all but the body whether it will be read.
	open func(req *http.Request, sender auth.Sender) (taker, error)
}

// taker takes in one body.
type taker interface {
	take(ctx context.Context, d *delivery, body *meter) (answer, error)
}

// answer is what a sender is told of a body that was taken.
type answer struct {
	status int
	body   any // written as JSON
	// retryAfter is 0 unless something has to be sent again.
	retryAfter time.Duration
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", seconds(a.retryAfter))
	}
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // the sender is gone: it will send again
}

// seconds rounds up to whole ones.
func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func (r *Receiver) handler(way way) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := r.options.Now()
		defer func() { r.metrics.took(way.name, r.options.Now().Sub(began)) }()
		defer r.recover(w, req, way.name)
		taken, err := r.receive(w, req, way)
		if err != nil {
			r.refuse(w, req, way.name, err)
			return
		}
		taken.write(w)
	})
}

// receive does the work of one request.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, way way) (answer, error) {
	if req.Method != http.MethodPost {
		return answer{}, errMethod(http.MethodPost)
	}
	ctx, cancel := context.WithTimeout(req.Context(), r.options.Timeout)
	defer cancel()
	req = req.WithContext(ctx)
	sender, err := r.options.Senders.Identify(req)
	if err != nil {
		return answer{}, err
	}
	if err := acceptable(req, way.mediaTypes); err != nil {
		return answer{}, err
	}
	taker, err := way.open(req, sender)
	if err != nil {
		return answer{}, err
	}
	select {
	case r.requests <- struct{}{}:
	default:
		return answer{}, errBusy("too many requests are being taken in; send this again")
	}
	defer func() { <-r.requests }()
	r.metrics.inFlight.Inc()
	defer r.metrics.inFlight.Dec()
	// A slow sender must not hold its place for long.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.options.Timeout)); err != nil {
		return answer{}, fmt.Errorf("bound the time of a request: %w", err)
	}
	d := newDelivery(r)
	defer d.close()
	body, done, err := openBody(ctx, w, req, d)
	if err != nil {
		return answer{}, bodyFailure(err)
	}
	defer done()
	return taker.take(ctx, d, body)
}

// refuse answers with an error, counts it and, unless many came before it, logs it.
func (r *Receiver) refuse(w http.ResponseWriter, req *http.Request, way string, err error) {
	refused := asRefusal(err)
	r.metrics.refused.WithLabelValues(string(refused.reason)).Inc()
	log := r.options.Log.WithValues("way", way, "reason", refused.reason, "status", refused.status)
	silent, speak := r.refusals[refused.reason].speak()
	if silent > 0 {
		log = log.WithValues("notLogged", silent)
	}
	switch {
	case !speak:
	case req.Context().Err() != nil:
		log.V(1).Info("a sender went away", "message", refused.message)
	case refused.status >= http.StatusInternalServerError:
		// The cause may name addresses; its type tells enough.
		log.Error(errors.New(refused.message), "refused a request", "cause", fmt.Sprintf("%T", refused.cause))
	default:
		log.Info("refused a request", "message", refused.message)
	}
	refused.write(w)
}

// recover turns a panic into an answer: one event that no test thought of must
// not end the process.
func (r *Receiver) recover(w http.ResponseWriter, req *http.Request, way string) {
	cause := recover()
	if cause == nil {
		return
	}
	r.options.Log.Error(errors.New("panic in the receiver"), "a request failed", "stack", cut(string(debug.Stack()), 4<<10))
	r.refuse(w, req, way, &refusedError{reason: refusedInternal, status: http.StatusInternalServerError,
		message: "an internal error; it is in the server's log"})
}

// probe answers those that watch the process, whoever they are.
func (r *Receiver) probe(answer func(http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			r.refuse(w, req, "probe", errMethod("GET, HEAD"))
			return
		}
		answer(w)
	})
}

// answerReady says whether the spool takes records. The store is not asked: while
// it is away, senders are to go on sending here.
func (r *Receiver) answerReady(w http.ResponseWriter) {
	switch stats := r.options.Spool.Stats(); {
	case stats.Full:
		writeText(w, http.StatusServiceUnavailable, "the spool is full")
	case stats.Failure != nil:
		writeText(w, http.StatusServiceUnavailable, "the spool's disk fails")
	default:
		writeText(w, http.StatusOK, "ok")
	}
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // whoever asked is gone
}
