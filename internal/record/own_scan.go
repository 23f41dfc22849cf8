package record

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// scanOwn decodes a record of ours as nearly every sender writes it, into what
// decodeAnyOwn makes of it. See scanner on what false means.
func scanOwn(data []byte) (Record, bool) {
	if len(data) > maxScanned {
		return nil, false
	}
	s := ownScanner{scanner: scanner{text: string(data)}}
	if !s.object(s.member) || !s.ended() {
		return nil, false
	}
	r := New(s.kind())
	if r == nil {
		return nil, false
	}
	timed := false
	fields := ownFields[r.Kind()]
	for i := range s.members[:s.count] {
		m := &s.members[i]
		if m.name == "kind" {
			continue
		}
		at, ok := fields[m.name]
		if !ok || !m.store(at.Pointer(r)) {
			return nil, false
		}
		timed = timed || (m.name == "time" && m.raw[0] == '"')
	}
	return fromSender(r), timed
}

// ownFields finds fields by their names.
var ownFields = map[Kind]map[string]*Field{KindAudit: fieldsByName(KindAudit), KindAuthAudit: fieldsByName(KindAuthAudit)}

func fieldsByName(kind Kind) map[string]*Field {
	fields := map[string]*Field{}
	for _, f := range tableOf(kind) {
		fields[f.Name] = &f
	}
	return fields
}

// ownScanner first finds the members: which fields there are depends on the kind,
// which can be the last of them.
type ownScanner struct {
	scanner
	members [len(nameSet{}.names)]ownMember
	count   int
}

// ownMember is a member of a record as it was sent.
type ownMember struct {
	name, raw string
	// plain says that raw is a string without escapes.
	plain bool
}

func (s *ownScanner) member(name string) bool {
	m := ownMember{name: name}
	var ok bool
	if s.peek() == '"' {
		m.raw, m.plain, ok = s.rawString()
	} else {
		m.raw, ok = s.value(MaxDetailsDepth)
	}
	s.members[s.count] = m
	s.count++
	return ok
}

// kind is what Sniff says, empty when it may have something to say against it.
func (s *ownScanner) kind() Kind {
	var room [len(nameSet{}.names)]string
	names := room[:0]
	for _, m := range s.members[:s.count] {
		switch m.name {
		case "kind":
			return Kind(strings.Trim(m.raw, `"`))
		case "apiVersion":
			return ""
		}
		names = append(names, m.name)
	}
	document, err := byFields(names)
	if err != nil {
		return ""
	}
	return Kind(document)
}

// store puts the value into a field. An absent one is null.
func (m *ownMember) store(at any) bool {
	if m.raw == "null" {
		return true
	}
	switch at := at.(type) {
	case *string:
		return m.text(at)
	case *int64:
		n, err := strconv.ParseInt(m.raw, 10, 64)
		*at = n
		return err == nil
	case *Timestamp:
		var text string
		if !m.text(&text) {
			return false
		}
		if instant, ok := parseFixed(text); ok {
			*at = instant
			return true
		}
		return at.UnmarshalText([]byte(text)) == nil
	case *ID:
		var text string
		return m.text(&text) && at.UnmarshalText([]byte(text)) == nil
	case *[]Attribute:
		s := scanner{text: m.raw}
		return s.attributes(at)
	case *json.RawMessage:
		return m.details(at)
	default:
		return false
	}
}

func (m *ownMember) text(at *string) bool {
	if m.plain {
		*at = unquoted(m.raw)
		return true
	}
	s := scanner{text: m.raw}
	return s.set(at)
}

func (m *ownMember) details(at *json.RawMessage) bool {
	if m.raw[0] != '{' {
		return false
	}
	details := jsontext.Value(m.raw)
	if strings.ContainsAny(m.raw, " \t\r\n") && details.Compact(jsontext.AllowDuplicateNames(true)) != nil {
		return false
	}
	*at = json.RawMessage(details)
	return true
}

func (s *scanner) attributes(at *[]Attribute) bool {
	return s.array(func() bool {
		var a Attribute
		ok := s.object(func(name string) bool {
			switch name {
			case "attribute_type":
				return s.set(&a.Type)
			case "attribute_id":
				return s.set(&a.ID)
			case "attribute_org_id":
				return s.set(&a.OrgID)
			case "attribute_name":
				return s.set(&a.Name)
			default:
				return false
			}
		})
		*at = append(*at, a)
		return ok
	})
}
