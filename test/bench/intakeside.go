package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"auditquery.dev/auditquery/test/process"
)

// intakeSide is a side of which each run takes intakeChunk records in, and what
// it cost whom.
type intakeSide struct {
	side
	server, store, client time.Duration
	runs                  int
}

// rates is side.String for runs that take intakeChunk records in.
func (s *intakeSide) rates() string {
	rate := func(percent int) float64 { return intakeChunk / percentile(s.times, percent).Seconds() }
	return fmt.Sprintf("%s %.0f records/s (%.0f…%.0f)", s.name, rate(50), rate(75), rate(25))
}

// costs says what a record took of the cores.
func (s *intakeSide) costs() string {
	each := func(all time.Duration) string {
		return fmt.Sprintf("%.1f µs", float64(all)/float64(time.Microsecond)/float64(s.runs*intakeChunk))
	}
	text := fmt.Sprintf("%s: client %s", s.name, each(s.client))
	if s.server > 0 {
		text += ", auditquery " + each(s.server)
	}
	if s.store > 0 {
		text += ", Elasticsearch " + each(s.store)
	}
	return text
}

// usage is what three have used so far.
type usage struct{ server, store, client time.Duration }

// timed runs a side once. server is the process that it is about, if any.
func (t *intake) timed(d *door, s *intakeSide, server *process.Process, run func() error) error {
	profiled, err := t.profileServer(server, "ingest "+d.name+" "+s.name)
	if err != nil {
		return err
	}
	before, err := t.usage(server)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := run(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.times = append(s.times, time.Since(began))
	after, err := t.usage(server)
	if err := errors.Join(err, profiled()); err != nil {
		return err
	}
	s.server += after.server - before.server
	s.store += after.store - before.store
	s.client += after.client - before.client
	s.runs++
	return nil
}

func (t *intake) usage(server *process.Process) (u usage, err error) {
	if server != nil {
		if u.server, err = cpuTime(server.PID()); err != nil {
			return u, err
		}
	}
	for _, node := range t.bench.cluster.Nodes() {
		used, err := groupCPUTime(node.PID())
		if err != nil {
			return u, err
		}
		u.store += used
	}
	u.client, err = cpuTime(os.Getpid())
	return u, err
}

// sides are all that are measured of a way in.
func (d *door) sides() []*intakeSide {
	sides := []*intakeSide{d.ours, d.bulk}
	if d.stranded != nil {
		sides = append(sides, d.stranded)
	}
	return sides
}

// forget drops what was measured while everything warmed up.
func (t *intake) forget() {
	for _, d := range t.doors {
		for _, s := range d.sides() {
			*s = intakeSide{side: side{name: s.name}}
		}
	}
}

// explain notes how it was measured, and who used the cores.
func (t *intake) explain() {
	b := t.bench
	b.note("ingest: %d senders and as many writers of raw _bulk, which sends what `auditquery ingest` sent for the same requests to a recorder, %d records at once, without Accept-Encoding; "+
		"Kubernetes events at the level Metadata, %d a request over HTTP/2, as kube-apiserver sends them; our own records as JSON lines, %d a request over HTTP/1.1; TLS and a client's certificate",
		loadWriters, bulkRecords, eventList, recordLines)
	b.note("ingest: the sides take turns with each %d records, and begin new indices with each %d; a turn ends with a refresh of the index, after which all can be found; "+
		"the sender shares the cores with the server and Elasticsearch: its requests are made before and its answers only read", intakeChunk, intakeChunks*intakeChunk)
	for _, d := range t.doors {
		text := ""
		for i, s := range d.sides() {
			if i > 0 {
				text += "; "
			}
			text += s.costs()
		}
		b.note("ingest, CPU time of one of the %s: %s", d.name, text)
	}
}
