package ingest

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"

	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

// Bounds of a request.
const (
	// MaxBodyBytes is the size of a body. kube-apiserver sends 400 events at
	// once, some 2 kB each at the level Metadata.
	MaxBodyBytes = 64 << 20
	// DefaultMaxBodies is how many bodies are taken in at once.
	DefaultMaxBodies = 16
	// RequestTimeout is how long a body may take to arrive and to be stored:
	// less than the 30 s after which kube-apiserver gives up.
	RequestTimeout = 28 * time.Second

	// A body is stored in parts, so that memory does not follow its size.
	maxBatchRecords = 1000
	maxBatchBytes   = 4 << 20

	pathKubernetes = "/ingest/kubernetes/{cluster}"
)

// LetterBox keeps dead letters; *DeadLetters is one.
type LetterBox interface {
	// Put returns when the letters are durable. It may be called concurrently.
	Put(letters ...Letter) error
}

// ReceiverOptions are what a Receiver needs. Writer and Letters are
// required.
type ReceiverOptions struct {
	Writer  store.Writer
	Letters LetterBox
	// Events says how events become records. Its Cluster is set from each
	// request.
	Events record.KubernetesOptions
	// ClientClusters names, by the common name of a client's certificate, the
	// clusters for which it may send. A name that is not in it may send for the
	// cluster of the same name alone.
	ClientClusters map[string][]string
	// MaxBodies is how many bodies are taken in at once; 0 means
	// DefaultMaxBodies.
	MaxBodies int
	// Timeout is how long a body may take to arrive and to be stored; 0 means
	// RequestTimeout.
	Timeout time.Duration
	// Registry gets the metrics; nil means none.
	Registry prometheus.Registerer
	Log      logr.Logger
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Receiver is the HTTP handler of the audit webhook. It answers 200 when every
// event of a body is in the store or in the dead letters, and otherwise with an
// error, upon which kube-apiserver sends the whole body again.
type Receiver struct {
	options ReceiverOptions
	metrics *metrics
	bodies  chan struct{}
	mux     *http.ServeMux
}

// NewReceiver checks the options and registers the metrics.
func NewReceiver(options ReceiverOptions) (*Receiver, error) {
	if options.Writer == nil || options.Letters == nil {
		return nil, errors.New("a receiver needs a store to write to and a place for dead letters")
	}
	if options.MaxBodies <= 0 {
		options.MaxBodies = DefaultMaxBodies
	}
	if options.Timeout <= 0 {
		options.Timeout = RequestTimeout
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	r := &Receiver{
		options: options, metrics: newMetrics(), bodies: make(chan struct{}, options.MaxBodies), mux: http.NewServeMux(),
	}
	if options.Registry != nil {
		if err := r.metrics.register(options.Registry); err != nil {
			return nil, fmt.Errorf("register the receiver's metrics: %w", err)
		}
	}
	r.mux.HandleFunc("POST "+pathKubernetes, r.serveKubernetes)
	return r, nil
}

// ServeHTTP answers one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

func (r *Receiver) serveKubernetes(w http.ResponseWriter, req *http.Request) {
	began := r.options.Now()
	defer func() { r.metrics.took(r.options.Now().Sub(began)) }()
	defer r.recover(w)
	select {
	case r.bodies <- struct{}{}:
	default:
		r.refuse(w, &refusedError{reason: refusedBusy, status: http.StatusTooManyRequests, retryAfter: time.Second,
			message: "too many batches are being stored; send this one again"})
		return
	}
	defer func() { <-r.bodies }()
	r.metrics.inFlight.Inc()
	defer r.metrics.inFlight.Dec()

	taken, err := r.receive(w, req)
	if err != nil {
		r.refuse(w, err)
		return
	}
	taken.write(w)
}

// receive does the work of one request.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) (tally, error) {
	cluster, err := r.sender(req)
	if err != nil {
		return tally{}, err
	}
	if err := acceptable(req); err != nil {
		return tally{}, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), r.options.Timeout)
	defer cancel()
	// A slow client must not hold one of the few places for long.
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.options.Timeout)); err != nil {
		return tally{}, fmt.Errorf("bound the time of a request: %w", err)
	}
	d := newDelivery(r, cluster)
	return d.run(ctx, http.MaxBytesReader(w, req.Body, MaxBodyBytes))
}

// sender returns the cluster that a request speaks for.
func (r *Receiver) sender(req *http.Request) (string, error) {
	cluster := req.PathValue("cluster")
	if len(validation.IsDNS1123Subdomain(cluster)) > 0 {
		return "", &refusedError{reason: refusedClient, status: http.StatusNotFound,
			message: "the path names no cluster: its last part must be a name of lower-case letters, digits, '-' and '.'"}
	}
	if req.TLS == nil || len(req.TLS.VerifiedChains) == 0 {
		return "", &refusedError{reason: refusedClient, status: http.StatusUnauthorized,
			message: "a client certificate is needed"}
	}
	name := req.TLS.VerifiedChains[0][0].Subject.CommonName
	allowed, mapped := r.options.ClientClusters[name]
	if !mapped {
		allowed = []string{name}
	}
	if !slices.Contains(allowed, cluster) {
		return "", &refusedError{reason: refusedClient, status: http.StatusForbidden,
			message: fmt.Sprintf("the client certificate of %q may not send events of the cluster %q", cut(name, 100), cluster)}
	}
	return cluster, nil
}

// acceptable checks a request's headers.
func acceptable(req *http.Request) error {
	mediaType, _, err := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return &refusedError{reason: refusedContentType, status: http.StatusUnsupportedMediaType,
			message: "the body must be application/json: an EventList of audit.k8s.io/v1"}
	}
	if encoding := req.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &refusedError{reason: refusedContentType, status: http.StatusUnsupportedMediaType,
			message: "the body must not be compressed"}
	}
	if req.ContentLength > MaxBodyBytes {
		return errTooLarge()
	}
	return nil
}

// recover turns a panic into an answer: one event that no test thought of must
// not end the process.
func (r *Receiver) recover(w http.ResponseWriter) {
	cause := recover()
	if cause == nil {
		return
	}
	r.options.Log.Error(errors.New("panic in the receiver"), "a request failed", "stack", cut(string(debug.Stack()), 4<<10))
	r.refuse(w, &refusedError{reason: refusedInternal, status: http.StatusInternalServerError,
		message: "an internal error; it is in the server's log"})
}
