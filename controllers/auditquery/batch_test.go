package auditquery

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
	"auditquery.dev/auditquery/internal/store"
)

func startBatcher(t *testing.T, reader *fakeReader, timeout time.Duration) *batcher {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	b := newBatcher(reader, timeout, m)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return b
}

func ask(limit int) store.Question {
	return store.Question{Query: query.Query{Kind: record.KindAudit, Scope: query.All(), Limit: limit}}
}

func TestQuestionsTravelTogether(t *testing.T) {
	reader := &fakeReader{block: make(chan struct{})}
	for n := range 250 {
		reader.add(audit(n))
	}
	b := startBatcher(t, reader, time.Minute)
	const questions = 250
	var asking sync.WaitGroup
	for n := 1; n <= questions; n++ {
		asking.Go(func() {
			answer := b.Ask(t.Context(), ask(n))
			if answer.Err != nil || len(answer.Page.Documents) != n {
				t.Errorf("question %d has %d rows, %v: not its answer", n, len(answer.Page.Documents), answer.Err)
			}
		})
	}
	close(reader.block)
	asking.Wait()
	reader.mu.Lock()
	defer reader.mu.Unlock()
	sum := 0
	for _, size := range reader.batches {
		sum += size
		if size > maxBatch {
			t.Errorf("a batch of %d", size)
		}
	}
	if sum != questions {
		t.Errorf("%d questions were asked", sum)
	}
}

func TestOneFailedQuestionLeavesTheOthersWhole(t *testing.T) {
	reader := &fakeReader{failNext: []error{errUnavailable}}
	jobs := []*job{}
	for range 2 {
		jobs = append(jobs, &job{ctx: t.Context(), question: ask(1), answer: make(chan store.Answer, 1)})
	}
	b := startBatcher(t, reader, time.Minute)
	b.search(t.Context(), jobs)
	if first, second := <-jobs[0].answer, <-jobs[1].answer; !store.IsUnavailable(first.Err) || second.Err != nil {
		t.Errorf("errors %v and %v", first.Err, second.Err)
	}
}

func TestTooFewAnswersAreNoAnswers(t *testing.T) {
	b := startBatcher(t, &fakeReader{wrong: true}, time.Minute)
	if answer := b.Ask(t.Context(), ask(1)); !errors.Is(answer.Err, errAnswers) {
		t.Errorf("error %v", answer.Err)
	}
}

func TestRunHasADeadline(t *testing.T) {
	b := startBatcher(t, &fakeReader{block: make(chan struct{})}, time.Millisecond)
	if answer := b.Ask(t.Context(), ask(1)); !store.IsTimeout(answer.Err) {
		t.Errorf("error %v", answer.Err)
	}
}

func TestAskerWhoLeavesEndsTheSearch(t *testing.T) {
	reader := &fakeReader{block: make(chan struct{})}
	b := startBatcher(t, reader, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	j := &job{ctx: ctx, question: ask(1), answer: make(chan store.Answer, 1)}
	b.search(t.Context(), []*job{j})
	if answer := <-j.answer; !store.IsTimeout(answer.Err) {
		t.Errorf("the search went on: %v", answer.Err)
	}
	if answer := b.Ask(ctx, ask(1)); !errors.Is(answer.Err, context.Canceled) {
		t.Errorf("error %v", answer.Err)
	}
}

func TestAskWithoutARunnerEnds(t *testing.T) {
	b := newBatcher(&fakeReader{}, time.Millisecond, nil)
	if answer := b.Ask(t.Context(), ask(1)); !store.IsTimeout(answer.Err) {
		t.Errorf("error %v", answer.Err)
	}
}
