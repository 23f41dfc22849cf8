package elasticsearch

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	json "github.com/go-json-experiment/json"

	"auditquery.dev/auditquery/internal/record"
)

// usualHit is how many bytes a hit without its document takes.
const usualHit = 160

// foundHits is a page of records of which only their names are known.
type foundHits struct {
	answer
	hits    []hit
	pointID string
	// after is the place of the last hit and last its time.
	after []byte
	last  time.Time
	// index is the last name, which most hits share.
	index string
}

// readHits reads the answer of such a search, which must be all of data.
func readHits(data []byte, expect int) (*foundHits, error) {
	f := &foundHits{hits: make([]hit, 0, expect)}
	s := &scanner{data: data}
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "hits":
			f.sawHits = true
			return s.object(func(name []byte) error {
				if string(name) == "hits" {
					return s.array(func() error { return f.scanHit(s) })
				}
				_, err := s.value()
				return err
			})
		case "pit_id":
			return f.scanValue(s, &f.pointID)
		case "_shards":
			f.shards.seen = true
			return f.scanValue(s, &f.shards)
		case "timed_out":
			value, err := s.value()
			f.timedOut = string(value)
			return err
		default:
			_, err := s.value()
			return err
		}
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && len(f.hits) > expect {
		err = fmt.Errorf("%w: %d hits instead of %d", errMalformed, len(f.hits), expect)
	}
	return f, err
}

func (f *foundHits) scanValue(s *scanner, into any) error {
	value, err := s.value()
	if err != nil {
		return err
	}
	return json.Unmarshal(value, into)
}

func (f *foundHits) scanHit(s *scanner) error {
	var found hit
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "_index":
			index, err := s.text()
			if string(index) != f.index {
				f.index = string(index)
			}
			found.index = f.index
			return err
		case "sort":
			value, err := s.value()
			if err != nil {
				return err
			}
			f.after = value
			return f.scanSort(value, &found)
		default:
			_, err := s.value()
			return err
		}
	})
	if err == nil && (found.index == "" || found.id.IsZero()) {
		err = fmt.Errorf("%w: a hit has no index or no place", errMalformed)
	}
	f.hits = append(f.hits, found)
	return err
}

// scanSort reads a time in nanoseconds and the halves of an id: as integers, for
// a float would lose bits.
func (f *foundHits) scanSort(value []byte, into *hit) error {
	var parts [3]int64
	s, n := &scanner{data: value}, 0
	err := s.array(func() error {
		part, err := s.value()
		if err == nil && n < len(parts) {
			parts[n], err = strconv.ParseInt(string(part), 10, 64)
		}
		n++
		return err
	})
	if err != nil || n < len(parts) {
		return errForeignDocument
	}
	f.last = time.Unix(0, parts[0]).UTC()
	into.id = idOf(parts[1], parts[2])
	return nil
}

// idOf is the opposite of record.ID.Halves.
func idOf(high, low int64) record.ID {
	const sign = 1 << 63
	var id record.ID
	binary.BigEndian.PutUint64(id[:8], uint64(high)^sign)
	binary.BigEndian.PutUint64(id[8:], uint64(low)^sign)
	return id
}
