package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"k8s.io/client-go/rest"

	"auditquery.dev/auditquery/test/stage"
)

// The account that reads, and what it asks for: the newest page of the month, of
// the original API and of the cluster's.
const (
	benchReader  = "bench-reader"
	recordsGroup = "/apis/records.auditquery.dev/v1alpha1/audits"
)

func restPage() string {
	return "/v1/audits?" + url.Values{
		"limit":   {strconv.Itoa(pageRows)},
		"dt_from": {monthStart().Format(time.RFC3339)}, "dt_to": {monthEnd().Format(time.RFC3339)},
	}.Encode()
}

func recordsPage() string {
	return recordsGroup + "?" + url.Values{
		"limit":         {strconv.Itoa(pageRows)},
		"fieldSelector": {"from=" + monthStart().Format(time.RFC3339) + ",to=" + monthEnd().Format(time.RFC3339)},
	}.Encode()
}

// asked is a list that was checked once to have all that it should.
type asked struct {
	caller *caller
	uri    string
	// bytes is what the answer has, after decompression.
	bytes int64
}

// prepare asks for a page, and refuses it unless it has so many records in a
// member of that name.
func (c *caller) prepare(ctx context.Context, uri, member string) (*asked, error) {
	response, err := c.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	text, err := readAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	var list map[string]json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var items []json.RawMessage
	if err := json.Unmarshal(list[member], &items); err != nil {
		return nil, fmt.Errorf("the member %s of %s: %w", member, uri, err)
	}
	if len(items) != pageRows {
		return nil, fmt.Errorf("%s was answered with %d records, not %d", uri, len(items), pageRows)
	}
	return &asked{caller: c, uri: uri, bytes: int64(len(text))}, nil
}

// run asks for the same page again. What came is as long as before, give or take a
// token and, where records still arrive, other records.
func (a *asked) run(ctx context.Context) (err error) {
	response, err := a.caller.open(ctx, a.uri)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	read, err := io.Copy(io.Discard, response.Body)
	if err != nil {
		return err
	}
	const tolerance = 20 // a part of so many
	if diff := read - a.bytes; diff > a.bytes/tolerance || -diff > a.bytes/tolerance {
		return fmt.Errorf("%s was answered with %d bytes, not %d", a.uri, read, a.bytes)
	}
	return nil
}

// lister makes sides of lists that are asked of one server.
type lister struct {
	ctx    context.Context //nolint:containedctx // of one part, in which all its sides run
	config *rest.Config
}

func (l lister) side(name, uri, member string, t transport) (*side, *asked, error) {
	c, err := newCaller(l.config, t)
	if err != nil {
		return nil, nil, err
	}
	a, err := c.prepare(l.ctx, uri, member)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return &side{name: name, run: func(int) error { return a.run(l.ctx) }}, a, nil
}

// listsOfElasticsearch measures what the server adds to the search that it sends,
// on its own address, with TLS and a ServiceAccount's token.
func listsOfElasticsearch(ctx context.Context, b *bench) ([]figure, error) {
	if err := errors.Join(b.loadElasticsearch(ctx), b.startStage(ctx)); err != nil {
		return nil, err
	}
	server, err := b.ownServer(ctx)
	if err != nil {
		return nil, err
	}
	config, err := b.reader(ctx, benchReader)
	if err != nil {
		return nil, err
	}
	q, err := newestPage()
	if err != nil {
		return nil, err
	}
	search, err := b.searchOf(ctx, q)
	if err != nil {
		return nil, err
	}
	b.progress.step("measuring lists on the server's own address")
	client := newRawClient(b.cluster.URL())
	raw := &side{name: "raw", run: func(int) error {
		_, err := client.send(ctx, search)
		return err
	}}
	l := lister{ctx: ctx, config: server.Config(config)}
	var figures []figure
	for _, encoding := range []string{identity, compressed} {
		found, err := b.listsEncoded(l, server, encoding, raw)
		if err != nil {
			return nil, err
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

// Values of Accept-Encoding.
const (
	identity   = "identity"
	compressed = "gzip"
)

// listsEncoded measures both lists beside the search by hand, all of which ask for
// the same encoding, and where that is none beside the raw search as well.
func (b *bench) listsEncoded(l lister, server *stage.Server, encoding string, raw *side) ([]figure, error) {
	t := transport{gzip: encoding == compressed}
	original, originalAsked, err := l.side("REST", restPage(), "audits", t)
	if err != nil {
		return nil, err
	}
	defer originalAsked.caller.close()
	records, recordsAsked, err := l.side("records", recordsPage(), "items", t)
	if err != nil {
		return nil, err
	}
	defer recordsAsked.caller.close()
	byHand := &side{name: "by hand", run: func(int) error { return b.hand.page(l.ctx) }}
	sides := []*side{original, records, byHand}
	if encoding == identity {
		byHand.run = func(int) error { return b.hand.plainPage(l.ctx) }
		sides = append(sides, raw)
	}
	done := b.profileServer(l.ctx, server, "lists-"+encoding)
	err = b.interleave(l.ctx, "a list", b.settings.iterations, sides...)
	if err := errors.Join(err, done()); err != nil {
		return nil, err
	}
	b.note("a list of %d is %d kB of JSON from REST and %d kB from records", pageRows, originalAsked.bytes>>10, recordsAsked.bytes>>10)
	name := func(over, under string) string {
		return fmt.Sprintf("Elasticsearch, a list of 500 (%s): %s ÷ %s", encoding, over, under)
	}
	var figures []figure
	if encoding == identity {
		figures = append(figures,
			quotient(name("REST", "raw"), 2.2, *original, *raw),
			quotient(name("records", "raw"), 3.5, *records, *raw))
	}
	return append(figures,
		quotient(name("REST", "by hand"), 0.5, *original, *byHand),
		quotient(name("records", "by hand"), 0.9, *records, *byHand)), nil
}
