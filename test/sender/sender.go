package sender

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	defaultBatch = 100
	// defaultPause is short: what a test waits for is the receiver.
	defaultPause = 100 * time.Millisecond
	// requestTimeout is that of kube-apiserver's audit webhook.
	requestTimeout = 30 * time.Second
)

// Options say what is sent, where to, and how fast. URL, Client and Source are
// required.
type Options struct {
	// URL is the receiver's, without a path.
	URL string
	// Client has the sender's certificate.
	Client *http.Client
	Source Source
	// Writers is how many requests are in flight at once; 0 means one.
	Writers int
	// Batch is how many events a request has; 0 means 100.
	Batch int
	// Rate is how many events begin in a second; 0 means as many as are
	// acknowledged. After a hold-up what is due is sent as fast as it goes.
	Rate float64
	// Limit is how many events are sent; 0 means until Stop.
	Limit int
	// Prepare makes all bodies before the first is sent, for measuring. It needs a
	// Limit.
	Prepare bool
	// Gzip compresses bodies.
	Gzip bool
	// Pause is how long a writer waits before it sends a refused body again, unless
	// the answer says how long; 0 means 100 ms.
	Pause time.Duration
	// MaxPause bounds what an answer may ask for; 0 means that it is obeyed.
	MaxPause time.Duration
}

// Counts are what a sender saw so far.
type Counts struct {
	// Begun and Acknowledged are events: sent at least once, and answered with a
	// success.
	Begun, Acknowledged int
	// Requests were sent; Broken of them had no answer.
	Requests, Broken int
	// Answers are how often each status was the answer.
	Answers map[int]int
	// WithoutRetryAfter are answers of 429 and 503 that don't say when to come
	// again.
	WithoutRetryAfter int
	// Rejected are records that a receiver said it would not take, inside a
	// success.
	Rejected int
	// LastAnswer is the last one that was no success.
	LastAnswer string
}

// Sender sends until it is stopped or at its limit. Its methods may be called from
// any goroutine.
type Sender struct {
	options Options
	ctx     context.Context
	abort   context.CancelFunc
	stop    chan struct{}
	stopped sync.Once
	done    chan struct{}
	began   time.Time
	bodies  [][]byte

	mutex        sync.Mutex
	next         int
	sent         Numbers
	acknowledged Numbers
	counts       Counts
	latencies    []time.Duration
}

// Start begins to send. It goes on until Stop, Abort, the limit, or the end of ctx.
func Start(ctx context.Context, o Options) (*Sender, error) {
	if o.URL == "" || o.Client == nil || o.Source == nil {
		return nil, errors.New("a sender needs a URL, a client and a source")
	}
	if o.Prepare && o.Limit <= 0 {
		return nil, errors.New("bodies can be prepared only up to a limit")
	}
	if o.Writers <= 0 {
		o.Writers = 1
	}
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.Pause <= 0 {
		o.Pause = defaultPause
	}
	s := &Sender{options: o, stop: make(chan struct{}), done: make(chan struct{}), counts: Counts{Answers: map[int]int{}}}
	s.ctx, s.abort = context.WithCancel(ctx)
	for first := 0; o.Prepare && first < o.Limit; first += o.Batch {
		body, err := s.encode(first, min(o.Batch, o.Limit-first))
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, body)
	}
	s.began = time.Now()
	var writers sync.WaitGroup
	for range o.Writers {
		writers.Go(s.write)
	}
	go func() {
		writers.Wait()
		s.abort()
		close(s.done)
	}()
	return s, nil
}

// Stop begins no new batch. Those that were begun are sent until they are
// acknowledged: see Wait.
func (s *Sender) Stop() { s.stopped.Do(func() { close(s.stop) }) }

// Limited tells whether the sender ends by itself.
func (s *Sender) Limited() bool { return s.options.Limit > 0 }

// Abort gives up at once: what is in flight may arrive or not. It returns when all
// writers have ended.
func (s *Sender) Abort() {
	s.abort()
	<-s.done
}

// Wait returns when all writers have ended by themselves. When ctx ends first the
// error says what the sender saw last; it goes on.
func (s *Sender) Wait(ctx context.Context) error {
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("wait until all is acknowledged: %w; %s", ctx.Err(), s.Counts())
	}
	if c := s.Counts(); c.Acknowledged < c.Begun {
		return fmt.Errorf("the sender gave up; %s", c)
	}
	return nil
}

// Counts returns what was seen so far.
func (s *Sender) Counts() Counts {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	c := s.counts
	c.Answers = maps.Clone(c.Answers)
	c.Begun, c.Acknowledged = s.sent.Len(), s.acknowledged.Len()
	return c
}

func (c Counts) String() string {
	return fmt.Sprintf("%d of %d events acknowledged, %d requests, %d of them without an answer, answers %v, the last refusal: %s",
		c.Acknowledged, c.Begun, c.Requests, c.Broken, c.Answers, c.LastAnswer)
}

// Run returns what is to be looked for in the store.
func (s *Sender) Run() Run {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return Run{Source: s.options.Source, Sent: s.sent.Clone(), Acknowledged: s.acknowledged.Clone()}
}

// Latencies returns how long each acknowledged request took, the shortest first.
func (s *Sender) Latencies() []time.Duration {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return slices.Sorted(slices.Values(s.latencies))
}

// write is one writer.
func (s *Sender) write() {
	for {
		first, count := s.take()
		if count == 0 || !s.await(first) || !s.deliver(first, count) {
			return
		}
	}
}

// take returns the next batch, empty at the limit.
func (s *Sender) take() (first, count int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	first, count = s.next, s.options.Batch
	if s.options.Limit > 0 {
		count = min(count, s.options.Limit-first)
	}
	s.next += count
	return first, count
}

// await returns when it is the batch's turn, false when there is none any more.
func (s *Sender) await(first int) bool {
	var wait time.Duration
	if s.options.Rate > 0 {
		due := s.began.Add(time.Duration(float64(first) / s.options.Rate * float64(time.Second)))
		wait = time.Until(due)
	}
	select {
	case <-s.stop:
		return false
	default:
	}
	return s.pause(wait, s.stop)
}

func (s *Sender) pause(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-stop:
		return false
	case <-timer.C:
		return true
	}
}

// deliver sends a batch until it is acknowledged, false when it has to give up.
func (s *Sender) deliver(first, count int) bool {
	body, err := s.body(first, count)
	if err != nil {
		s.note(answer{err: err})
		return false
	}
	s.mutex.Lock()
	s.sent.Add(first, count)
	s.mutex.Unlock()
	for {
		a := s.post(body)
		s.note(a)
		if a.taken() {
			s.mutex.Lock()
			s.acknowledged.Add(first, count)
			s.mutex.Unlock()
			return true
		}
		pause := s.options.Pause
		if a.retryAfter > 0 {
			pause = a.retryAfter
		}
		if s.options.MaxPause > 0 {
			pause = min(pause, s.options.MaxPause)
		}
		if !s.pause(pause, nil) {
			return false
		}
	}
}

func (s *Sender) note(a answer) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.counts.Requests++
	if a.err != nil {
		s.counts.Broken++
		s.counts.LastAnswer = a.err.Error()
		return
	}
	s.counts.Answers[a.status]++
	s.counts.Rejected += a.rejected
	if a.taken() {
		s.latencies = append(s.latencies, a.took)
		return
	}
	s.counts.LastAnswer = fmt.Sprintf("%d %s", a.status, strings.TrimSpace(a.text))
	if (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable) && a.retryAfter <= 0 {
		s.counts.WithoutRetryAfter++
	}
}
