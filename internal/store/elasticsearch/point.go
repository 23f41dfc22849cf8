package elasticsearch

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

const (
	// pointLife is how long a point in time is kept between two batches. A
	// batch after it opens another.
	pointLife = "2m"
	// closeTimeout bounds the closing of a point in time.
	closeTimeout = 5 * time.Second
	// leastStep is the shortest time that a page looks at.
	leastStep = time.Second
	// longestStep is more than any index covers.
	longestStep = 32 * 24 * time.Hour
	// fasterStep bounds how much longer the next page looks than one that was
	// not full, fastestStep how much longer than one that was empty.
	fasterStep, fastestStep = 4.0, 16.0
)

// point is an open point in time. Its pages are of a part of the window that
// holds little more than a page: indices are sorted by time, newest first, so to
// find the oldest of a window Elasticsearch looks at all that is in it.
type point struct {
	id     string
	shards int
	// at is the time from which on the next page looks, to its end.
	at, to time.Time
	step   time.Duration
	// after is the place behind which the next page begins, as Elasticsearch
	// wrote it; nil for the first.
	after []byte
}

func (p *point) ended() bool { return !p.at.Before(p.to) }

// slice is the part of the window that the next page looks at.
func (p *point) slice() span {
	end := p.to
	if p.step < p.to.Sub(p.at) {
		end = p.at.Add(p.step)
	}
	return span{from: p.at, to: end}
}

// advance goes on behind a page, and guesses how long the next one takes.
func (p *point) advance(slice span, found *foundHits, size int) {
	if len(found.hits) > 0 {
		p.after = found.after
	}
	if len(found.hits) < size {
		factor := fastestStep
		if len(found.hits) > 0 {
			factor = min(float64(size)/float64(len(found.hits)), fasterStep)
		}
		p.at = slice.to
		p.step = min(time.Duration(float64(p.step)*factor), longestStep)
		return
	}
	p.step = aLittleMore(found.last.Sub(p.at))
	p.at = found.last
}

// aLittleMore makes a page rather full than not.
func aLittleMore(step time.Duration) time.Duration { return max(step+step/4, leastStep) }

// open opens a point in time that sees all that was acknowledged.
func (e *erasure) open(ctx context.Context, group indexGroup, size int) error {
	if err := e.refresh(ctx, group.indices); err != nil {
		return err
	}
	var answered struct {
		ID     string       `json:"id"`
		Shards *shardCounts `json:"_shards"`
	}
	err := e.client.object(ctx, func() esapi.Request {
		return esapi.OpenPointInTimeRequest{Index: group.indices, KeepAlive: pointLife}
	}, &answered)
	switch {
	case err != nil:
		return err
	case answered.ID == "" || answered.Shards == nil:
		return fmt.Errorf("%w: it lacks id or _shards", errMalformed)
	}
	e.point = &point{id: answered.ID, shards: answered.Shards.Total, at: group.window.from, to: group.window.to}
	if answered.Shards.Failed != 0 || answered.Shards.Total < len(group.indices) {
		return &partialError{failed: answered.Shards.Failed, total: answered.Shards.Total}
	}
	return e.measure(ctx, size)
}

// measure counts what there is, for the length of the first step.
func (e *erasure) measure(ctx context.Context, size int) error {
	body, err := e.searchBody(span{from: e.point.at, to: e.point.to}, 0)
	if err != nil {
		return err
	}
	answered, err := e.searchPoint(ctx, body, 0)
	if err != nil {
		return err
	}
	found, err := readAnswer(answered, 0)
	if err == nil {
		err = found.check(e.point.shards)
	}
	if err != nil {
		return err
	}
	all := e.point.to.Sub(e.point.at)
	switch {
	case found.total == 0:
		e.point.at = e.point.to
	case found.total <= int64(size):
		e.point.step = all
	default:
		e.point.step = aLittleMore(time.Duration(float64(all) * float64(size) / float64(found.total)))
	}
	return nil
}

// page asks the point in time for its next hits.
func (e *erasure) page(ctx context.Context, size int) ([]hit, error) {
	slice := e.point.slice()
	body, err := e.searchBody(slice, size)
	if err != nil {
		return nil, err
	}
	answered, err := e.searchPoint(ctx, body, size)
	if err != nil {
		return nil, err
	}
	found, err := readHits(answered, size)
	if err == nil {
		err = found.check(e.point.shards)
	}
	if err != nil {
		return nil, err
	}
	if found.pointID != "" {
		e.point.id = found.pointID
	}
	e.point.advance(slice, found, size)
	return found.hits, nil
}

func (e *erasure) searchBody(slice span, size int) ([]byte, error) {
	q := e.query
	q.From, q.To = slice.from, slice.to
	conditions, err := e.conditions(q)
	if err != nil {
		return nil, err
	}
	return e.point.appendSearch(nil, conditions, size), nil
}

func (e *erasure) searchPoint(ctx context.Context, body []byte, size int) ([]byte, error) {
	no := false
	answered, err := e.client.do(ctx, call{limit: smallAnswer, hint: size * usualHit, build: func() esapi.Request {
		return esapi.SearchRequest{Body: bytes.NewReader(body), AllowPartialSearchResults: &no}
	}})
	return answered.body, err
}

// appendSearch appends the body of a search for the next page of a point in time,
// or for the number of records if size is 0. Ids are rebuilt from what hits are sorted by, so that no document is read.
func (p *point) appendSearch(b []byte, conditions clause, size int) []byte {
	b = append(b, `{"size":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = appendText(append(b, `,"pit":{"id":`...), p.id)
	b = append(b, `,"keep_alive":"`+pointLife+`"},"track_total_hits":`...)
	if size == 0 {
		b = append(b, totals(0)...)
	} else {
		b = append(b, noTotals+`,"_source":false,"stored_fields":"_none_","sort":[{"time":"asc"},{"id_high":"asc"},{"id_low":"asc"}]`...)
	}
	if size > 0 && len(p.after) > 0 {
		b = append(append(b, `,"search_after":`...), p.after...)
	}
	b = conditions.appendTo(append(b, `,"query":`...))
	return append(b, '}')
}

// closePoint frees a point in time. One that stays open for all that ends by
// itself.
func (e *erasure) closePoint(ctx context.Context, p *point) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	body := append(appendText([]byte(`{"id":`), p.id), '}')
	err := e.client.object(ctx, func() esapi.Request { return esapi.ClosePointInTimeRequest{Body: bytes.NewReader(body)} }, nil)
	if err != nil && !isStatus(err, http.StatusNotFound) {
		e.maker.options.Log.V(1).Info("a point in time was left to expire", "reason", explain(e.op, err).Error())
	}
}
