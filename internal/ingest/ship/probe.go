package ship

import (
	"context"
	"time"

	"auditquery.dev/auditquery/internal/ingest/entry"
)

const (
	// probeEvery is the time between two samples, probeWait between two
	// questions about one, and probeLong how long one is asked for.
	probeEvery = 2 * time.Second
	probeWait  = 200 * time.Millisecond
	probeLong  = time.Minute
	// probeOld is the age at its receipt beyond which an event says nothing
	// about us: its sender kept it.
	probeOld = time.Hour
)

// probe measures on a sample how long after its event a record can be found. One
// record is looked for at a time.
type probe struct {
	options Options
	next    chan entry.Entry
}

func newProbe(options Options) *probe {
	return &probe{options: options, next: make(chan entry.Entry)}
}

// offer gives a record that the store has taken, if the probe has time for it.
func (p *probe) offer(e entry.Entry) {
	if e.Received.Time().Sub(e.Record.Time.Time()) > probeOld {
		return
	}
	e.Record.Document, e.Record.Words = nil, nil
	select {
	case p.next <- e:
	default:
	}
}

func (p *probe) run(ctx context.Context) {
	for {
		select {
		case e := <-p.next:
			p.find(ctx, e)
		case <-ctx.Done():
			return
		}
		if pause(ctx, probeEvery) != nil {
			return
		}
	}
}

// find asks until the record is there. One that cannot be found counts for
// nothing: the store's own metrics tell what is wrong with it.
func (p *probe) find(ctx context.Context, e entry.Entry) {
	ctx, cancel := context.WithTimeout(ctx, probeLong)
	defer cancel()
	for {
		found, err := p.options.Searchable(ctx, e.Record.Kind, e.Record.ID, e.Record.Time)
		if err == nil && found {
			p.options.Ledger.Lag(p.options.Now().Sub(e.Record.Time.Time()))
			return
		}
		if pause(ctx, probeWait) != nil {
			return
		}
	}
}
