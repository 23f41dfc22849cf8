package auditquery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"auditquery.dev/auditquery/internal/store"
)

const (
	// maxBatch is the most queries in one round trip.
	maxBatch = 100
	// parallelBatches is how many round trips are under way at once: more than
	// one, so that a slow query doesn't hold up all others.
	parallelBatches = 4
	// DefaultRunTimeout bounds one run, waiting included.
	DefaultRunTimeout = 30 * time.Second
)

// asker answers one question. The error is in the answer.
type asker interface {
	Ask(ctx context.Context, question store.Question) store.Answer
}

// batcher gathers questions that are asked at the same time into one round trip.
// It never waits for company: the first question leaves at once, and what comes
// while all round trips are under way leaves together with the next. So one query
// is as fast as it can be, and a thousand cost few round trips.
type batcher struct {
	reader  store.BatchReader
	timeout time.Duration
	metrics *metrics
	jobs    chan *job
}

type job struct {
	ctx      context.Context
	question store.Question
	answer   chan store.Answer
}

func newBatcher(reader store.BatchReader, timeout time.Duration, m *metrics) *batcher {
	return &batcher{reader: reader, timeout: timeout, metrics: m, jobs: make(chan *job, maxBatch)}
}

// Start searches until ctx is done.
func (b *batcher) Start(ctx context.Context) error {
	var workers sync.WaitGroup
	for range parallelBatches {
		workers.Go(func() { b.work(ctx) })
	}
	workers.Wait()
	return nil
}

// Ask waits at most the batcher's timeout. The answer's error is a *store.Error
// of reason Timeout if that ran out, and ctx's own error if ctx ended.
func (b *batcher) Ask(ctx context.Context, question store.Question) store.Answer {
	waiting, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	j := &job{ctx: waiting, question: question, answer: make(chan store.Answer, 1)}
	select {
	case b.jobs <- j:
	case <-waiting.Done():
		return b.interrupted(ctx)
	}
	select {
	case answer := <-j.answer:
		return answer
	case <-waiting.Done():
		return b.interrupted(ctx)
	}
}

func (b *batcher) interrupted(ctx context.Context) store.Answer {
	if err := ctx.Err(); err != nil {
		return store.Answer{Err: fmt.Errorf("the run was given up: %w", err)}
	}
	return store.Answer{Err: &store.Error{
		Reason: store.Timeout, Op: "search", Message: fmt.Sprintf("no answer within %s", b.timeout), Err: context.DeadlineExceeded,
	}}
}

func (b *batcher) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-b.jobs:
			b.search(ctx, b.company(first))
		}
	}
}

// company takes what waits behind first.
func (b *batcher) company(first *job) []*job {
	jobs := []*job{first}
	for len(jobs) < maxBatch {
		select {
		case next := <-b.jobs:
			jobs = append(jobs, next)
		default:
			return jobs
		}
	}
	return jobs
}

// search runs one batch. It ends when the batch is answered, after the timeout,
// or when nobody waits for it any longer.
func (b *batcher) search(ctx context.Context, jobs []*job) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(len(jobs)))
	questions := make([]store.Question, 0, len(jobs))
	leave := func() {
		if left.Add(-1) == 0 {
			cancel()
		}
	}
	for _, j := range jobs {
		questions = append(questions, j.question)
		// Every asker's context ends soon after its answer, and with it this.
		context.AfterFunc(j.ctx, leave)
	}
	b.metrics.batch(len(jobs))
	answers := b.reader.Search(ctx, questions)
	if len(answers) != len(questions) {
		answers = make([]store.Answer, len(questions))
		for i := range answers {
			answers[i].Err = errAnswers
		}
	}
	for i, j := range jobs {
		j.answer <- answers[i]
	}
}

// errAnswers means that a store broke its contract. None of its answers can be
// trusted to belong to its question.
var errAnswers = errors.New("the store gave another number of answers than it was asked questions")
