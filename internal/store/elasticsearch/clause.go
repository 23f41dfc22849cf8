package elasticsearch

import (
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// clause is a node of Elasticsearch's query language that writes itself. All of
// them are used as filters: nothing is scored.
type clause interface{ appendTo(b []byte) []byte }

type (
	// allOf holds when all of its parts do and none of those in noneOf.
	allOf struct{ filter, noneOf []clause }
	// anyOf holds when one of its parts does.
	anyOf []clause
	// everything and nothing match what they say.
	everything struct{}
	nothing    struct{}
	// term is equality; on an address field the value may be a CIDR.
	term struct{ field, value string }
	// terms holds for at most maxTerms values.
	terms struct {
		field  string
		values []string
	}
	prefix struct{ field, value string }
	exists struct{ field string }
	ids    []string
	// between compares with the bounds that are not empty.
	between struct {
		field            string
		gt, gte, lt, lte string
	}
	// nested holds when one of the objects at path satisfies query.
	nested struct {
		path  string
		query clause
	}
)

func (c allOf) appendTo(b []byte) []byte {
	b = append(b, `{"bool":{`...)
	if len(c.filter) > 0 {
		b = appendClauses(append(b, `"filter":`...), c.filter)
	}
	if len(c.noneOf) > 0 {
		if len(c.filter) > 0 {
			b = append(b, ',')
		}
		b = appendClauses(append(b, `"must_not":`...), c.noneOf)
	}
	return append(b, `}}`...)
}

func (c anyOf) appendTo(b []byte) []byte {
	b = appendClauses(append(b, `{"bool":{"should":`...), c)
	return append(b, `,"minimum_should_match":1}}`...)
}

func (everything) appendTo(b []byte) []byte { return append(b, `{"match_all":{}}`...) }

func (nothing) appendTo(b []byte) []byte { return append(b, `{"match_none":{}}`...) }

func (c term) appendTo(b []byte) []byte {
	return appendPair(append(b, `{"term":`...), c.field, c.value)
}

func (c terms) appendTo(b []byte) []byte {
	b = appendText(append(b, `{"terms":{`...), c.field)
	b = appendTexts(append(b, ':'), c.values)
	return append(b, `}}`...)
}

func (c prefix) appendTo(b []byte) []byte {
	return appendPair(append(b, `{"prefix":`...), c.field, c.value)
}

func (c exists) appendTo(b []byte) []byte {
	return appendPair(append(b, `{"exists":`...), "field", c.field)
}

func (c ids) appendTo(b []byte) []byte {
	b = appendTexts(append(b, `{"ids":{"values":`...), c)
	return append(b, `}}`...)
}

func (c between) appendTo(b []byte) []byte {
	b = appendText(append(b, `{"range":{`...), c.field)
	b = append(b, `:{`...)
	first := true
	for _, bound := range [...]struct{ name, value string }{{"gt", c.gt}, {"gte", c.gte}, {"lt", c.lt}, {"lte", c.lte}} {
		if bound.value == "" {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendText(b, bound.name)
		b = appendText(append(b, ':'), bound.value)
	}
	return append(b, `}}}`...)
}

func (c nested) appendTo(b []byte) []byte {
	b = appendText(append(b, `{"nested":{"path":`...), c.path)
	b = c.query.appendTo(append(b, `,"score_mode":"none","query":`...))
	return append(b, `}}`...)
}

func appendClauses(b []byte, clauses []clause) []byte {
	b = append(b, '[')
	for i, c := range clauses {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.appendTo(b)
	}
	return append(b, ']')
}

// appendPair appends {"name":"value"}} : it also closes the clause around it.
func appendPair(b []byte, name, value string) []byte {
	b = appendText(append(b, '{'), name)
	b = appendText(append(b, ':'), value)
	return append(b, `}}`...)
}

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
}

// appendText appends a JSON string. Queries are valid UTF-8 after validation;
// should one not be, encoding/json replaces what is wrong.
func appendText(b []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(b, text)
	if err == nil {
		return quoted
	}
	replaced, err := json.Marshal(text)
	if err != nil {
		return strconv.AppendQuote(b, "")
	}
	return append(b, replaced...)
}
