package record

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of details.
const (
	// MaxDetailsBytes is the size of details as compact JSON, marks included.
	MaxDetailsBytes = 64 << 10
	// MaxDetailsDepth is how deep details may nest; the object itself is 1.
	MaxDetailsDepth = 100
	// MarkKey is the member of details in which Normalize says what it
	// changed. A sender's own member of that name is kept inside it.
	MarkKey = "auditquery"
	// maxMarks bounds each list of names in the marks.
	maxMarks = 20
	// marksReserve is the room that details leave for the marks: a few
	// originals of up to MaxKeywordBytes.
	marksReserve = 16 << 10
)

// normalizeDetails rewrites details as a compact JSON object without duplicate
// names, within bounds, and adds the marks. Elasticsearch refuses a document
// with a duplicate name anywhere, so this is not cosmetic.
func normalizeDetails(base *Common, changes *Changes) {
	if len(base.Details) == 0 && !changes.Any() {
		base.Details = nil
		return
	}
	if !changes.Any() && isCanonical(base.Details) {
		return
	}
	members := splitDetails(base.Details)
	if changes.Any() || !fits(members, MaxDetailsBytes) {
		members = dropLarge(members, MaxDetailsBytes-marksReserve, changes)
		members = mark(members, *changes)
	}
	base.Details = joinDetails(members)
}

// member is one name and value of details, as compact JSON.
type member struct {
	name  string
	value jsontext.Value
	// deep says that something of the value was cut off.
	deep bool
}

// size is what the member takes in the object, with the comma or brace after it.
func (m member) size() int { return len(quote(m.name)) + len(`:,`) + len(m.value) }

func fits(members []member, limit int) bool {
	size := len(`{`)
	for _, m := range members {
		if m.deep {
			return false
		}
		size += m.size()
	}
	return size <= limit
}

// splitDetails reads the members of an object. Anything but an object becomes
// the member "value" of one; what is not JSON at all becomes its text.
func splitDetails(details []byte) []member {
	if len(bytes.TrimSpace(details)) == 0 {
		return nil
	}
	dec := jsontext.NewDecoder(bytes.NewReader(details), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return []member{wholeValue(details)}
	}
	var members []member
	seen := map[string]bool{}
	if _, err := dec.ReadToken(); err != nil {
		return []member{wholeValue(details)}
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return []member{wholeValue(details)}
		}
		m := member{name: name.String()}
		if m.value, m.deep, err = copyValue(dec, 2); err != nil {
			return []member{wholeValue(details)}
		}
		if !seen[m.name] {
			seen[m.name] = true
			members = append(members, m)
		}
	}
	return members
}

func wholeValue(details []byte) member {
	dec := jsontext.NewDecoder(bytes.NewReader(details), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if value, deep, err := copyValue(dec, 2); err == nil {
		if _, err := dec.ReadToken(); errors.Is(err, io.EOF) {
			return member{name: "value", value: value, deep: deep}
		}
	}
	text, cut := cutKeyword(string(details))
	return member{name: "value", value: quote(text), deep: cut}
}

// copyValue copies the next value without duplicate names (the first stands)
// and without what is deeper than MaxDetailsDepth, which becomes null.
func copyValue(dec *jsontext.Decoder, depth int) (value jsontext.Value, deep bool, err error) {
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	deep, err = copyTokens(enc, dec, depth)
	return bytes.TrimRight(out.Bytes(), "\n"), deep, err
}

func copyTokens(enc *jsontext.Encoder, dec *jsontext.Decoder, depth int) (deep bool, err error) {
	kind := dec.PeekKind()
	if kind != '{' && kind != '[' {
		token, err := dec.ReadToken()
		if err != nil {
			return false, err
		}
		return false, enc.WriteToken(token)
	}
	if depth > MaxDetailsDepth {
		if err := dec.SkipValue(); err != nil {
			return false, err
		}
		return true, enc.WriteToken(jsontext.Null)
	}
	open, err := dec.ReadToken()
	if err != nil {
		return false, err
	}
	if err := enc.WriteToken(open); err != nil {
		return false, err
	}
	seen := map[string]bool{}
	for k := dec.PeekKind(); k != '}' && k != ']'; k = dec.PeekKind() {
		if kind == '{' {
			name, err := dec.ReadToken()
			if err != nil {
				return deep, err
			}
			if seen[name.String()] {
				if err := dec.SkipValue(); err != nil {
					return deep, err
				}
				continue
			}
			seen[name.String()] = true
			if err := enc.WriteToken(jsontext.String(name.String())); err != nil {
				return deep, err
			}
		}
		below, err := copyTokens(enc, dec, depth+1)
		deep = deep || below
		if err != nil {
			return deep, err
		}
	}
	end, err := dec.ReadToken()
	if err != nil {
		return deep, err
	}
	return deep, enc.WriteToken(end)
}

// dropLarge keeps members, in order, while they fit into limit, and notes what
// was dropped or cut.
func dropLarge(members []member, limit int, changes *Changes) []member {
	note := func(m member) {
		if len(changes.DroppedDetails) < maxMarks {
			changes.DroppedDetails = append(changes.DroppedDetails, clip(m.name))
		}
		if !slices.Contains(changes.Cut, "details") {
			changes.Cut = append(changes.Cut, "details")
		}
	}
	size := len(`{`)
	kept := members[:0]
	for _, m := range members {
		if size+m.size() > limit {
			note(m)
			continue
		}
		if m.deep {
			note(m)
		}
		size += m.size()
		kept = append(kept, m)
	}
	return kept
}

// mark puts the changes under MarkKey. Marks that are there already stay: a
// record is normalised again when it is replayed.
func mark(members []member, changes Changes) []member {
	value, err := json.Marshal(changes)
	if err != nil {
		value = jsontext.Value(`{}`) // plain strings always marshal
	}
	for i, m := range members {
		if m.name == MarkKey {
			members[i].value = mergeObjects(m.value, value)
			return members
		}
	}
	return append(members, member{name: MarkKey, value: value})
}

// hasOriginalTime tells whether details say that the record's time was replaced.
func hasOriginalTime(details []byte) bool {
	if !bytes.Contains(details, []byte(`"original_time"`)) { // nearly always
		return false
	}
	var marked struct {
		Changes Changes `json:"auditquery"`
	}
	return json.Unmarshal(details, &marked) == nil && marked.Changes.OriginalTime != ""
}

// mergeObjects returns the members of earlier and then those of later that it
// lacks. What is not an object is kept as the member "original".
func mergeObjects(earlier, later jsontext.Value) jsontext.Value {
	members := splitDetails(later)
	if earlier.Kind() != '{' {
		return joinDetails(append(members, member{name: "original", value: earlier}))
	}
	merged := splitDetails(earlier)
	for _, m := range members {
		if !slices.ContainsFunc(merged, func(other member) bool { return other.name == m.name }) {
			merged = append(merged, m)
		}
	}
	return joinDetails(merged)
}

func joinDetails(members []member) []byte {
	out := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, quote(m.name)...)
		out = append(out, ':')
		out = append(out, m.value...)
	}
	return append(out, '}')
}

func quote(text string) []byte {
	quoted, err := jsontext.AppendQuote(nil, text)
	if err != nil { // invalid UTF-8, which it replaced
		return quoted
	}
	return quoted
}
