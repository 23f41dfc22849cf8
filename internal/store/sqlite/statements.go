package sqlite

import (
	"container/list"
	"context"
	"database/sql"
	"sync"
)

// maxPrepared bounds the prepared statements of one pool, on each connection. Standing queries repeat
// their statements; the rest come and go.
const maxPrepared = 64

// maxPreparedText is the length of the longest statement that is kept. Longer
// ones are hardly ever asked twice, and large.
const maxPreparedText = 16 << 10

// statements keeps the statements of a pool prepared, the last used ones.
type statements struct {
	db *sql.DB

	mu     sync.Mutex
	byText map[string]*list.Element // of *prepared
	recent *list.List               // last used first
}

type prepared struct {
	text string
	stmt *sql.Stmt
	// users count who holds it; dropped is set when it left the cache and is
	// closed by the last of them.
	users   int
	dropped bool
}

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, byText: map[string]*list.Element{}, recent: list.New()}
}

// get returns a prepared statement, and what to call when it is no longer used.
func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, func(), error) {
	s.mu.Lock()
	if element, ok := s.byText[text]; ok {
		p := element.Value.(*prepared)
		p.users++
		s.recent.MoveToFront(element)
		s.mu.Unlock()
		return p.stmt, func() { s.release(p) }, nil
	}
	s.mu.Unlock()
	stmt, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	p := s.keep(&prepared{text: text, stmt: stmt, users: 1})
	return p.stmt, func() { s.release(p) }, nil
}

// getAll gets several statements: the one of each text is put into its place.
func (s *statements) getAll(ctx context.Context, places map[string]**sql.Stmt) (func(), error) {
	var releases []func()
	release := func() {
		for _, r := range releases {
			r()
		}
	}
	for text, into := range places {
		stmt, done, err := s.get(ctx, text)
		if err != nil {
			release()
			return nil, err
		}
		*into = stmt
		releases = append(releases, done)
	}
	return release, nil
}

// keep puts p into the cache. When someone else was faster, or p is too long, it
// stays outside and is closed after use.
func (s *statements) keep(p *prepared) *prepared {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.byText[p.text]; ok || len(p.text) > maxPreparedText {
		p.dropped = true
		return p
	}
	s.byText[p.text] = s.recent.PushFront(p)
	if s.recent.Len() > maxPrepared {
		oldest := s.recent.Remove(s.recent.Back()).(*prepared)
		delete(s.byText, oldest.text)
		oldest.dropped = true
		if oldest.users == 0 {
			_ = oldest.stmt.Close()
		}
	}
	return p
}

func (s *statements) release(p *prepared) {
	s.mu.Lock()
	p.users--
	last := p.dropped && p.users == 0
	s.mu.Unlock()
	if last {
		_ = p.stmt.Close()
	}
}

// close closes the statements and the pool. No one may hold one.
func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for element := s.recent.Front(); element != nil; element = element.Next() {
		_ = element.Value.(*prepared).stmt.Close()
	}
	s.byText, s.recent = map[string]*list.Element{}, list.New()
	return s.db.Close()
}
