package store

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"auditquery.dev/auditquery/internal/query"
	"auditquery.dev/auditquery/internal/record"
)

// measuredStore is a store with a Deleter and a Notebook that are timed too.
type measuredStore struct {
	*measured
	deleter  Deleter
	notebook Notebook
}

// MeasureStore is Measure for a process that erases. The operations are also
// stretches, erase_stretch, finish_erasing, erase, erase_batch, reclaim,
// read_note and write_note; survivors are a result of erase_stretch.
func MeasureStore(s Store, registerer prometheus.Registerer) (Store, error) {
	m, err := newMeasured(s, registerer)
	if err != nil {
		return nil, err
	}
	return &measuredStore{measured: m, deleter: s, notebook: s}, nil
}

func (m *measuredStore) Stretches(ctx context.Context, kind record.Kind) ([]Stretch, error) {
	began := time.Now()
	stretches, err := m.deleter.Stretches(ctx, kind)
	m.observe("stretches", began, err)
	return stretches, err
}

func (m *measuredStore) EraseStretch(ctx context.Context, kind record.Kind, name string, doomed query.Filter) (Erased, error) {
	const operation = "erase_stretch"
	began := time.Now()
	erased, err := m.deleter.EraseStretch(ctx, kind, name, doomed)
	if errors.Is(err, ErrSurvivors) {
		m.operations.WithLabelValues(operation, "survivors").Observe(time.Since(began).Seconds())
		return erased, err
	}
	m.observe(operation, began, err)
	return erased, err
}

func (m *measuredStore) FinishErasing(ctx context.Context) error {
	began := time.Now()
	err := m.deleter.FinishErasing(ctx)
	m.observe("finish_erasing", began, err)
	return err
}

func (m *measuredStore) Erase(ctx context.Context, q query.Query) (Erasure, error) {
	began := time.Now()
	erasure, err := m.deleter.Erase(ctx, q)
	m.observe("erase", began, err)
	if err != nil {
		return nil, err
	}
	return &measuredErasure{Erasure: erasure, m: m.measured}, nil
}

func (m *measuredStore) Reclaim(ctx context.Context) error {
	began := time.Now()
	err := m.deleter.Reclaim(ctx)
	m.observe("reclaim", began, err)
	return err
}

func (m *measuredStore) ReadNote(ctx context.Context, name string) (Note, error) {
	began := time.Now()
	note, err := m.notebook.ReadNote(ctx, name)
	m.observe("read_note", began, err)
	return note, err
}

func (m *measuredStore) WriteNote(ctx context.Context, name string, data []byte, version string) (string, error) {
	began := time.Now()
	next, err := m.notebook.WriteNote(ctx, name, data, version)
	m.observe("write_note", began, err)
	return next, err
}

// measuredErasure times each batch; the end is none.
type measuredErasure struct {
	Erasure
	m *measured
}

func (e *measuredErasure) Next(ctx context.Context, limit int) (int, error) {
	began := time.Now()
	erased, err := e.Erasure.Next(ctx, limit)
	if !errors.Is(err, io.EOF) {
		e.m.observe("erase_batch", began, err)
	}
	return erased, err
}
