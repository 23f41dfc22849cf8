package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"auditquery.dev/auditquery/test/receiver"
)

const (
	shippingPrefix  = "ingest-ours"
	recordingPrefix = "ingest-record"
	// bulkRecords is how many records the raw side sends at once: what a shipper
	// sends under load.
	bulkRecords = 1000
)

// intake are the servers of the part ingest, and what is measured of them.
type intake struct {
	bench *bench
	dir   string
	// shipping stores what it takes in, stranded has no store to reach. recording
	// ships to the recorder, by which the raw side gets the very bytes that would
	// be sent; nothing of it is timed.
	shipping, stranded, recording *receiver.Receiver
	recorder                      *recorder
	raw                           *rawClient
	doors                         []*door
	// accepted is how many records shipping has acknowledged.
	accepted int64
	months   int
	streams  uint64
	profiles int
}

// namedReceiver is a server and what is said of it.
type namedReceiver struct {
	name     string
	receiver *receiver.Receiver
}

// servers are those that were started.
func (t *intake) servers() []namedReceiver {
	var started []namedReceiver
	for _, s := range []namedReceiver{{"end to end", t.shipping}, {"no store", t.stranded}, {"recorded", t.recording}} {
		if s.receiver != nil {
			started = append(started, s)
		}
	}
	return started
}

func (t *intake) start(ctx context.Context) (err error) {
	t.doors = doors()
	// What a former run left with -dir is another spool.
	if err := os.RemoveAll(t.dir); err != nil {
		return err
	}
	if t.recorder, err = newRecorder(t.bench.cluster.URL(), "/_bulk"); err != nil {
		return err
	}
	t.recorder.swallow = true
	if t.shipping, err = t.startServer(ctx, "shipping", t.bench.cluster.URL(), shippingPrefix); err != nil {
		return err
	}
	if t.recording, err = t.startServer(ctx, "recording", t.recorder.URL, recordingPrefix); err != nil {
		return err
	}
	t.stranded, err = t.startServer(ctx, "stranded", nowhere, shippingPrefix)
	return err
}

// startServer starts `auditquery ingest` with a spool of its own.
func (t *intake) startServer(ctx context.Context, name, url, prefix string) (*receiver.Receiver, error) {
	binary, err := t.program(ctx)
	if err != nil {
		return nil, err
	}
	r, err := receiver.New(ctx, receiver.Options{
		Dir: t.path(name), Binary: binary, ElasticsearchURLs: []string{url}, IndexPrefix: prefix, ClusterName: benchCluster,
		Args: []string{"--ingest-client-orgs=" + benchCluster + "=*"},
	})
	if err != nil {
		return nil, err
	}
	// One that does not get ready has to be stopped as well.
	err = r.Start(ctx)
	return r, err
}

// post sends bodies and has each acknowledged.
func (t *intake) post(ctx context.Context, to *receiver.Receiver, d *door, bodies [][]byte) error {
	p, err := newPoster(to, d)
	if err != nil {
		return err
	}
	defer p.close()
	return workOff(ctx, bodies, p.post)
}

// takeIn has records taken in and returns when all of them are in the store.
func (t *intake) takeIn(ctx context.Context, d *door, bodies [][]byte) error {
	if err := t.post(ctx, t.shipping, d, bodies); err != nil {
		return err
	}
	t.accepted += int64(len(bodies) * d.batch)
	return t.awaitStored(ctx)
}

// awaitStored returns when all that was acknowledged is in the store.
func (t *intake) awaitStored(ctx context.Context) error {
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var l looks
	for {
		now, err := scrapeFrom(ctx, t.shipping.MetricsURL())
		if err != nil {
			return err
		}
		if dead := now.sum("auditquery_ingest_records_dead_lettered_total"); dead > 0 {
			return fmt.Errorf("%.0f records are dead letters", dead)
		}
		stored := now.sum("auditquery_ingest_records_stored_total") + now.sum("auditquery_ingest_records_duplicate_total")
		missing := t.accepted - int64(stored)
		if missing <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until all is in the store, %d records are missing: %w", missing, ctx.Err())
		case <-t.shipping.Process().Exited():
			return t.shipping.Process().Err()
		case <-time.After(l.next(time.Now(), missing)):
		}
	}
}

// looks says when to look again whether anything is missing: a look costs as much
// as a hundred records, so there should be few, and none much too late.
type looks struct {
	at      time.Time
	missing int64
}

// next returns how long to wait, most of what it will take by what it took since
// the last look.
func (l *looks) next(now time.Time, missing int64) time.Duration {
	const least, most = 4 * time.Millisecond, time.Second
	perRecord := 15 * time.Microsecond
	if done := l.missing - missing; !l.at.IsZero() && done > 0 {
		perRecord = now.Sub(l.at) * 9 / 10 / time.Duration(done)
	}
	l.at, l.missing = now, missing
	return min(max(time.Duration(missing)*perRecord, least), most)
}

// record returns the bulk requests that our shipper sends for bodies, for another
// index. Elasticsearch sees none of it.
func (t *intake) record(ctx context.Context, d *door, bodies [][]byte, index string) ([]sent, error) {
	if err := t.post(ctx, t.recording, d, bodies); err != nil {
		return nil, err
	}
	const (
		patience = time.Minute
		often    = 5 * time.Millisecond
	)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var kept []sent
	for want := len(bodies) * d.batch; ; {
		kept = append(kept, t.recorder.drain()...)
		if records := countRecords(kept); records == want {
			break
		} else if records > want {
			return nil, fmt.Errorf("the shipper sent %d records of %d", records, want)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the shipper sent %d records of %d: %w", countRecords(kept), want, ctx.Err())
		case <-t.recording.Process().Exited():
			return nil, t.recording.Process().Err()
		case <-time.After(often):
		}
	}
	return regroup(kept, bulkRecords, index)
}

// countRecords counts the pairs of lines of bulk requests.
func countRecords(bulks []sent) int {
	records := 0
	for _, bulk := range bulks {
		records += bytes.Count(bulk.body, []byte("\n")) / 2
	}
	return records
}

// regroup makes bulk requests of so many records each, the last one's less, to an
// index, out of others to one index: how many go into one depends on the moment.
func regroup(bulks []sent, records int, index string) ([]sent, error) {
	var made []sent
	room := 0
	for _, bulk := range bulks {
		if bulk.uri != bulks[0].uri {
			return nil, fmt.Errorf("the shipper writes to %s and to %s", bulks[0].uri, bulk.uri)
		}
		for rest := bulk.body; len(rest) > 0; {
			action := bytes.IndexByte(rest, '\n') + 1
			end := action + bytes.IndexByte(rest[action:], '\n') + 1
			if action == 0 || end == action {
				return nil, errors.New("a bulk request does not end with a pair of lines")
			}
			if room == 0 {
				_, parameters, _ := strings.Cut(bulk.uri, "/_bulk")
				made = append(made, sent{method: bulk.method, uri: "/" + index + "/_bulk" + parameters, contentType: bulk.contentType})
				room = records
			}
			last := &made[len(made)-1]
			last.body = append(last.body, rest[:end]...)
			room--
			rest = rest[end:]
		}
	}
	return made, nil
}

// poster is a cheap client: it shares the cores with what is measured. Bodies are
// made before, connections are kept, answers are read to their end.
type poster struct {
	client *http.Client
	url    string
	door   *door
}

func newPoster(to *receiver.Receiver, d *door) (*poster, error) {
	config, err := to.TLSConfig(benchCluster)
	if err != nil {
		return nil, err
	}
	return &poster{url: to.URL() + d.path, door: d, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: config, DisableCompression: true, ForceAttemptHTTP2: d.http2, MaxIdleConnsPerHost: loadWriters,
	}}}, nil
}

func (p *poster) close() { p.client.CloseIdleConnections() }

func (p *poster) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", p.door.contentType)
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	text, err := readAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was answered %s: %.300s", p.door.path, response.Status, text)
	}
	return nil
}
