package ingest

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"auditquery.dev/auditquery/internal/record"
)

const (
	// fewEvents are mapped sooner than they are shared out.
	fewEvents = 8
	// groupMemory is what a group takes: its events as they came, decoded, and as
	// records.
	groupMemory = 5 * groupSplitBuffer
)

// mappedEvent is an audit event and the records that are made of it.
type mappedEvent struct {
	event record.DecodedEvent
	// records are ready for the spool, unless err or skip says why there are
	// none.
	records []record.Prepared
	skip    record.Skip
	err     error
}

// of maps an event, and takes a panic for what is wrong with that event: its
// neighbours go on. It touches nothing else, so several can be mapped at once.
func (m *mappedEvent) of(event record.DecodedEvent, options record.KubernetesOptions, now time.Time) {
	m.event, m.skip, m.err = event, record.SkipNone, event.Err
	if m.err != nil {
		return
	}
	defer func() {
		if cause := recover(); cause != nil {
			m.err = fmt.Errorf("internal error of type %T", cause)
		}
	}()
	m.records, m.skip, m.err = record.PrepareEvent(m.records, event.Event, options, now)
	m.event.Event = nil // it is not needed any more
}

// mapper maps the events of a body. Those that came together are shared out among
// two goroutines: a list of 400 is acknowledged sooner for it.
type mapper struct {
	options record.KubernetesOptions
	now     func() time.Time
	slots   []mappedEvent
}

// mapAll maps a group and returns it in order, valid until the next call.
func (m *mapper) mapAll(group []rawEvent) []mappedEvent {
	for len(m.slots) < len(group) {
		m.slots = append(m.slots, mappedEvent{})
	}
	mapped := m.slots[:len(group)]
	run := func(from, to int) {
		now := m.now()
		for i := from; i < to; i++ {
			mapped[i].decoded(group[i], m.options, now)
		}
	}
	if len(group) < fewEvents || runtime.GOMAXPROCS(0) == 1 {
		run(0, len(group))
		return mapped
	}
	half := len(group) / 2
	var other sync.WaitGroup
	other.Go(func() { run(half, len(group)) })
	run(0, half)
	other.Wait()
	return mapped
}

// decoded is of for an event that is not decoded yet.
func (m *mappedEvent) decoded(raw rawEvent, options record.KubernetesOptions, now time.Time) {
	defer func() {
		if cause := recover(); cause != nil {
			m.event = record.DecodedEvent{Index: raw.index, Raw: raw.raw}
			m.err = fmt.Errorf("internal error of type %T", cause)
		}
	}()
	m.of(raw.decode(), options, now)
}
