package elasticsearch

import (
	"bytes"
	"fmt"
	"strconv"

	json "github.com/go-json-experiment/json"
)

// answer is what one search gave. It is used only after check.
type answer struct {
	// documents are as stored, without the members that only the index needs.
	documents [][]byte
	total     int64
	// totalExact is false when total is a lower bound.
	totalExact bool
	shards     shardCounts
	failure    *failure

	// status is set in the parts of a multi-search.
	status   int
	timedOut string
	sawHits  bool
}

type shardCounts struct {
	Total      int `json:"total"`
	Successful int `json:"successful"`
	Failed     int `json:"failed"`
	seen       bool
}

// readAnswer reads the answer of one search, which must be all of data. The
// documents are cut out of data, which the caller gives away.
func readAnswer(data []byte, expect int) (answer, error) {
	s := &scanner{data: data}
	a, err := scanAnswer(s, expect)
	if err != nil {
		return answer{}, err
	}
	return a, s.end()
}

// readAnswers reads the answer of a multi-search.
func readAnswers(data []byte, expect int) ([]answer, error) {
	s := &scanner{data: data}
	var answers []answer
	err := s.object(func(name []byte) error {
		if string(name) != "responses" {
			_, err := s.value()
			return err
		}
		return s.array(func() error {
			a, err := scanAnswer(s, 0)
			answers = append(answers, a)
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && len(answers) != expect {
		err = fmt.Errorf("%w: %d answers to %d questions", errMalformed, len(answers), expect)
	}
	return answers, err
}

func scanAnswer(s *scanner, expect int) (answer, error) {
	a := answer{}
	if expect > 0 {
		a.documents = make([][]byte, 0, expect)
	}
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "hits":
			a.sawHits = true
			return a.scanHits(s)
		case "timed_out":
			value, err := s.value()
			a.timedOut = string(value)
			return err
		case "_shards":
			value, err := s.value()
			if err != nil {
				return err
			}
			a.shards.seen = true
			return json.Unmarshal(value, &a.shards)
		case "error":
			value, err := s.value()
			if err != nil {
				return err
			}
			a.failure = readFailure(value)
			return nil
		case "status":
			value, err := s.value()
			if err != nil {
				return err
			}
			a.status, err = strconv.Atoi(string(value))
			return err
		default:
			_, err := s.value()
			return err
		}
	})
	return a, err
}

func (a *answer) scanHits(s *scanner) error {
	return s.object(func(name []byte) error {
		switch string(name) {
		case "hits":
			return s.array(func() error { return a.scanHit(s) })
		case "total":
			value, err := s.value()
			if err != nil {
				return err
			}
			return a.readTotal(value)
		default:
			_, err := s.value()
			return err
		}
	})
}

func (a *answer) readTotal(value []byte) error {
	var total struct {
		Value    int64  `json:"value"`
		Relation string `json:"relation"`
	}
	if err := json.Unmarshal(value, &total); err != nil {
		return err
	}
	a.total, a.totalExact = total.Value, total.Relation == "eq"
	return nil
}

func (a *answer) scanHit(s *scanner) error {
	found := false
	err := s.object(func(name []byte) error {
		value, err := s.value()
		if err != nil || string(name) != "_source" {
			return err
		}
		document, err := trim(value)
		found = true
		a.documents = append(a.documents, document)
		return err
	})
	if err == nil && !found {
		return fmt.Errorf("%w: a hit has no document", errMalformed)
	}
	return err
}

// check refuses every answer that may lack a part. atLeast is the number of
// shards that the indices known to hold records have together.
func (a *answer) check(atLeast int) error {
	switch {
	case a.failure != nil:
		a.failure.status = a.status
		return a.failure
	case a.timedOut == "true":
		return errTimedOut
	case a.timedOut != "false" || !a.shards.seen || !a.sawHits:
		return fmt.Errorf("%w: it lacks timed_out, _shards or hits", errMalformed)
	case a.shards.Failed != 0 || a.shards.Successful != a.shards.Total:
		return &partialError{failed: a.shards.Total - a.shards.Successful, total: a.shards.Total}
	case a.shards.Total < atLeast:
		return errFewerShards
	}
	return nil
}

// The members that only the index needs, as appendIndexed writes them.
const (
	wordsMember  = `,"words":[`
	idHighMember = `],"id_high":`
	idLowMember  = `,"id_low":`
)

// trim cuts the members off that only the index needs. It writes the closing
// brace over the comma before them, so that nothing is copied.
func trim(source []byte) ([]byte, error) {
	// A word holds letters and digits alone: the last bracket opens the words.
	open := bytes.LastIndexByte(source, '[')
	start := open + 1 - len(wordsMember)
	if open < 0 || start < 1 || string(source[start:open+1]) != wordsMember {
		return nil, errForeignDocument
	}
	const longest = len(idLowMember) + len("-9223372036854775808}")
	if end := source[max(open, len(source)-longest):]; !bytes.Contains(end, []byte(idLowMember)) {
		return nil, errForeignDocument
	}
	source[start] = '}'
	return source[: start+1 : start+1], nil
}

// appendIndexed appends to a document without its closing brace the members that
// only the index needs, and the brace.
func appendIndexed(b []byte, words []string, high, low int64) []byte {
	b = append(b, wordsMember...)
	for i, word := range words {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, word...)
		b = append(b, '"')
	}
	b = strconv.AppendInt(append(b, idHighMember...), high, 10)
	b = strconv.AppendInt(append(b, idLowMember...), low, 10)
	return append(b, '}')
}
