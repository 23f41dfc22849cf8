package elasticsearch

import (
	"bytes"
	"context"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"auditquery.dev/auditquery/internal/record"
)

// indexMaker finds the index that a record goes to, and makes it if need be.
type indexMaker struct {
	catalogue *catalogue
	options   Options
	// turn lets one index be made at a time: those who wait find it made.
	turn chan struct{}
	// templates that were put; who has the turn uses it.
	templates map[record.Kind]bool
}

// destination is an index to write to, as it was when it was looked up.
type destination struct {
	index string
	// erasures is the state's at that time.
	erasures int64
	// late tells that the index may be erased at any time: what was written to
	// it is to be confirmed.
	late bool
}

// destinationFor returns an index that exists, has our layout and is in the state.
func (m *indexMaker) destinationFor(ctx context.Context, kind record.Kind, t time.Time) (destination, error) {
	s, err := m.catalogue.get(ctx)
	if err != nil {
		return destination{}, err
	}
	if index, ok := s.writable(m.catalogue.names.covering(kind, t)); ok {
		return m.catalogue.destination(s, index), nil
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return destination{}, ctx.Err()
	}
	s, index, err := m.make(ctx, kind, t)
	if err != nil {
		return destination{}, err
	}
	return m.catalogue.destination(s, index), nil
}

// destination is an index of a snapshot. Only what is over is ever erased as a whole,
// see EraseStretch: the index of now needs no confirmation.
func (c *catalogue) destination(s *snapshot, index string) destination {
	_, covers, err := c.names.parse(index)
	now := c.clock()
	return destination{index: index, erasures: s.erasures, late: err != nil || now.Before(covers.from) || !now.Before(covers.to)}
}

// writable returns the first of candidates that can be written to at once.
func (s *snapshot) writable(candidates []string) (string, bool) {
	for _, name := range candidates {
		if _, ok := s.beingErased(name); ok {
			return "", false
		}
		if index, ok := s.present[name]; ok {
			return name, index.problem == nil && s.stateFound && s.has(name)
		}
		if s.has(name) {
			return "", false
		}
	}
	return "", false
}

func (s *snapshot) has(index string) bool { return state{Indices: s.recorded}.has(index) }

func (s *snapshot) beingErased(index string) (erasing, bool) {
	return state{Erasing: s.erasing}.erasing(index)
}

// make does, in this order, what the package's comment relies on: state, index,
// entry in the state; each step finds it done if another process was faster.
func (m *indexMaker) make(ctx context.Context, kind record.Kind, t time.Time) (*snapshot, string, error) {
	c := m.catalogue
	s, err := c.renew(ctx)
	if err != nil {
		return nil, "", err
	}
	candidates := c.names.covering(kind, t)
	if index, ok := s.writable(candidates); ok {
		return s, index, nil
	}
	index, err := s.toMake(c.names, candidates, c.names.of(kind)+t.UTC().Format(m.options.Period.layout()))
	if err != nil {
		return nil, "", err
	}
	if !s.stateFound {
		if err := c.begin(ctx); err != nil {
			return nil, "", err
		}
	}
	if _, ok := s.present[index]; !ok {
		if err := m.create(ctx, kind, index); err != nil {
			return nil, "", err
		}
	}
	if err := c.record(ctx, index); err != nil {
		return nil, "", err
	}
	if s, err = c.renew(ctx); err != nil {
		return nil, "", err
	}
	if !s.has(index) {
		return nil, "", errBeingErased(index)
	}
	return s, index, nil
}

// toMake returns which index is to be made or recorded, or why that is refused.
func (s *snapshot) toMake(n names, candidates []string, wanted string) (string, error) {
	for _, name := range candidates {
		index, ok := s.present[name]
		_, erasing := s.beingErased(name)
		switch {
		case erasing:
			return "", errBeingErased(name)
		case !ok && s.has(name):
			return "", conflict("%s", missingIndex(name))
		case !ok:
			continue
		case index.problem != nil:
			return "", conflict("the index %s can't be written to: %s; delete it or move it out of the way", clip(name), index.problem)
		case !s.stateFound:
			return "", s.lost(n, name)
		}
		return name, nil
	}
	return wanted, s.stateLost(n)
}

// stateLost returns why there can't be a state that is empty, nil if there can.
func (s *snapshot) stateLost(n names) error {
	for name, index := range s.present {
		if index.problem == nil && !s.stateFound {
			return s.lost(n, name)
		}
	}
	return nil
}

// lost says that the state is gone. Making a new one would hide which indices
// went with it.
func (s *snapshot) lost(n names, index string) error {
	return conflict("the index %s is gone, but %s exists; restore it from a snapshot together with its indices",
		n.state(), clip(index))
}

// create makes an index with our layout, or checks that who was faster did.
func (m *indexMaker) create(ctx context.Context, kind record.Kind, index string) error {
	if err := m.putTemplate(ctx, kind); err != nil {
		return err
	}
	body, err := encodeBody(indexOf(kind, m.options))
	if err != nil {
		return err
	}
	created, err := m.catalogue.create(ctx, index, body)
	if err != nil || created {
		return err
	}
	return m.checkLayout(ctx, index)
}

// putTemplate forbids that Elasticsearch makes indices of a kind by itself. It
// changes the cluster's state, which is slow: once per process will do.
func (m *indexMaker) putTemplate(ctx context.Context, kind record.Kind) error {
	if m.templates[kind] {
		return nil
	}
	c := m.catalogue
	body, err := encodeBody(templateOf(kind, c.names, m.options))
	if err != nil {
		return err
	}
	err = c.client.object(ctx, func() esapi.Request {
		return esapi.IndicesPutIndexTemplateRequest{Name: c.names.template(kind), Body: bytes.NewReader(body)}
	}, nil)
	m.templates[kind] = err == nil
	return err
}

// checkLayout looks at an index that was not in the snapshot: another process
// may have made it, or somebody by hand.
func (m *indexMaker) checkLayout(ctx context.Context, index string) error {
	s, err := m.catalogue.renew(ctx)
	if err != nil {
		return err
	}
	found, ok := s.present[index]
	switch {
	case !ok:
		return conflict("the index %s disappeared while it was made", clip(index))
	case found.problem != nil:
		return conflict("the index %s can't be written to: %s; delete it or move it out of the way", clip(index), found.problem)
	}
	return nil
}
