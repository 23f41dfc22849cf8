package spool

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// segment is a file of frames. Its name says all that must be known of it when
// its content is damaged: where it stands in the order of segments, its first
// sequence number, and its marker. The next segment's first number says where
// its own end.
type segment struct {
	number uint64
	first  uint64
	marker marker

	// The rest is guarded by Spool.mu.

	// end is the number behind its last record.
	end uint64
	// size is how many of its bytes are durable.
	size int64
	// left is how many of its records are not confirmed.
	left int64
	// sealed says that nothing is appended any more.
	sealed bool
	// gone says that only a placeholder is left, see sweep.
	gone bool
	// known says that the progress file found at the start speaks of it.
	known bool
	// doubtful is the offset behind which a crash may have torn it.
	doubtful int64
}

const (
	segmentSuffix = ".v1"
	goneSuffix    = ".v1.done"
)

func (g *segment) name() string {
	suffix := segmentSuffix
	if g.gone {
		suffix = goneSuffix
	}
	return g.base() + suffix
}

func (g *segment) base() string {
	return fmt.Sprintf("%010d-%020d-%x", g.number, g.first, g.marker)
}

func (g *segment) path(dir string) string { return filepath.Join(dir, g.name()) }

// parseName reads a name; nil when the file is no segment. The error says that
// another version wrote it.
func parseName(name string) (*segment, error) {
	base, version, _ := strings.Cut(name, ".")
	parts := strings.Split(base, "-")
	if len(parts) != 3 {
		return nil, nil
	}
	var g segment
	var err [3]error
	var m []byte
	g.number, err[0] = strconv.ParseUint(parts[0], 10, 64)
	g.first, err[1] = strconv.ParseUint(parts[1], 10, 64)
	m, err[2] = hex.DecodeString(parts[2])
	if err != [3]error{} || len(m) != len(g.marker) || g.first == 0 {
		return nil, nil
	}
	copy(g.marker[:], m)
	switch version {
	case segmentSuffix[1:]:
	case goneSuffix[1:]:
		g.gone = true
	default:
		return nil, fmt.Errorf("the segment %s was written by another version", name)
	}
	return &g, nil
}
