package elasticsearch

import (
	"context"
	"maps"
	"slices"
	"strings"

	"auditquery.dev/auditquery/internal/record"
)

// expandWildcards makes a closed index an error; by default a wildcard skips it.
const expandWildcards = "open,closed"

// target is where a search goes.
type target struct {
	// expression is a list of index names and wildcards.
	expression []string
	// shards is how many shards must answer at least.
	shards int
}

// target returns where the records of a kind in a window are.
func (c *catalogue) target(ctx context.Context, kind record.Kind, w span) (target, error) {
	s, err := c.get(ctx)
	if err != nil {
		return target{}, err
	}
	t, err := s.target(c.names, kind, w)
	if err == nil {
		return t, nil
	}
	// The snapshot may have been taken while an index came or went.
	return c.freshTarget(ctx, kind, w)
}

// freshTarget is target with a snapshot begun after the call.
func (c *catalogue) freshTarget(ctx context.Context, kind record.Kind, w span) (target, error) {
	s, err := c.renew(ctx)
	if err != nil {
		return target{}, err
	}
	return s.target(c.names, kind, w)
}

// target decides on a snapshot alone.
func (s *snapshot) target(n names, kind record.Kind, w span) (target, error) {
	t := target{expression: cover(n.of(kind), w)}
	for _, name := range slices.Sorted(maps.Keys(s.present)) {
		index := s.present[name]
		if !matchesAny(name, t.expression) {
			continue
		}
		if index.problem != nil {
			return target{}, conflict("the index %s can't be searched: %s; delete it or move it out of the names that begin with %s",
				clip(name), index.problem, n.of(kind))
		}
		if !s.stateFound {
			return target{}, s.lost(n, name)
		}
	}
	exact := s.recordedIn(n, kind, w)
	for _, name := range exact {
		index, ok := s.present[name]
		if !ok {
			return target{}, conflict("%s", missingIndex(name))
		}
		t.shards += index.shards
	}
	if all := slices.Concat(exact, t.expression); joinedLength(all) <= maxURLNames {
		t.expression = all
	}
	return t, nil
}

// matchesAny tells whether a name matches one of cover's wildcards, all of which
// are prefixes.
func matchesAny(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return strings.HasPrefix(name, strings.TrimSuffix(pattern, "*"))
	})
}

// joinedLength is how long the names are in a URL.
func joinedLength(names []string) int {
	length := len(names)
	for _, name := range names {
		length += len(name)
	}
	return length
}
