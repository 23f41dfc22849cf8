package senders_test

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"auditquery.dev/auditquery/internal/record"
)

// poison is what is wrong with an item.
type poison struct {
	// spoil changes the item's JSON. It may be the form of one way alone: on.
	spoil func(item []byte) []byte
	on    []string
	want  fate
	// wantOn differs from want on some ways.
	wantOn map[string]fate
	// check says what is wrong with what is stored of it.
	check func(a *record.Audit) string
}

const (
	hugeBytes = 1 << 20
	many      = 10_000
)

// replace returns what puts one text in place of another, which must be there.
func replace(old, by string) func([]byte) []byte {
	return func(item []byte) []byte {
		if !bytes.Contains(item, []byte(old)) {
			panic(fmt.Sprintf("%s is not in %s", old, item)) // the test is wrong
		}
		return bytes.Replace(item, []byte(old), []byte(by), 1)
	}
}

// member adds a member to the object that tells what happened: all of the item, or
// the event that it wraps.
func member(text string) func([]byte) []byte {
	return func(item []byte) []byte {
		if bytes.Contains(item, []byte(`"event":{`)) {
			return replace(`"event":{`, `"event":{`+text+`,`)(item)
		}
		return replace(`{`, `{`+text+`,`)(item)
	}
}

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + `1` + strings.Repeat(`}`, depth)
}

// entries are so many members of an object.
func entries(count int) string {
	var all []string
	for i := range count {
		all = append(all, fmt.Sprintf(`"key-%d":"value"`, i))
	}
	return strings.Join(all, ",")
}

func attributes(count int) string {
	one := `{"attribute_type":"group","attribute_id":"g"}`
	return "[" + strings.TrimSuffix(strings.Repeat(one+",", count), ",") + "]"
}

// marked says whether the record's details tell of something.
func marked(text string) func(a *record.Audit) string {
	return func(a *record.Audit) string {
		if len(a.Details) > record.MaxDetailsBytes {
			return fmt.Sprintf("its details have %d bytes", len(a.Details))
		}
		if !strings.Contains(string(a.Details), text) {
			return fmt.Sprintf("its details do not tell of %s: %.300s", text, a.Details)
		}
		return ""
	}
}

// poisons are all of them.
func poisons() map[string]poison {
	all := malformed()
	maps.Copy(all, oversized())
	maps.Copy(all, mended())
	return all
}

// onEvents and onOwn are the ways of audit events and of our own records.
func onEvents() []string { return []string{"the audit webhook"} }

func onOwn() []string { return []string{"the original API", "lines", "an array"} }

// malformed is what is no event or record.
func malformed() map[string]poison {
	events, own := onEvents(), onOwn()
	return map[string]poison{
		"malformed JSON": {
			spoil: func([]byte) []byte { return []byte(`{"auditID":"x",,"unique_id":}`) }, want: refused,
		},
		"a string without its end": {
			spoil: func(item []byte) []byte { return item[:bytes.LastIndexByte(item, '"')] },
			want:  fatal, wantOn: map[string]fate{"lines": refused},
		},
		"null":     {spoil: func([]byte) []byte { return []byte("null") }, want: refused},
		"a number": {spoil: func([]byte) []byte { return []byte("7") }, want: refused},
		"a list":   {spoil: func([]byte) []byte { return []byte("[[[]]]") }, want: refused},
		"a verb of another type": {
			on: events, spoil: replace(`"verb":"delete"`, `"verb":{"a":[1]}`), want: refused,
		},
		"an action of another type": {
			on: own, spoil: replace(`"action":"update"`, `"action":{"a":[1]}`), want: refused,
		},
		"a time of another type": {
			on: own, spoil: replace(`"time":"`, `"time":7,"user_agent":"`), want: refused,
		},
	}
}

// oversized is too large, too many or too deep.
func oversized() map[string]poison {
	events, own := onEvents(), onOwn()
	return map[string]poison{
		"a huge key, of an annotation": {
			on: events, spoil: replace(`"annotations":{`, `"annotations":{"`+strings.Repeat("k", hugeBytes)+`":"v",`), check: marked("dropped_details"),
		},
		"a huge key, in the details": {
			on: own, spoil: member(`"details":{"` + strings.Repeat("k", hugeBytes) + `":"v","kept":1}`), check: marked("dropped_details"),
		},
		"a huge key that no event has": {on: events, spoil: member(`"` + strings.Repeat("k", hugeBytes) + `":1`)},
		"a huge key that no record has": {
			on: own, spoil: member(`"` + strings.Repeat("k", hugeBytes) + `":1`), want: refused,
		},
		"ten thousand annotations": {on: events, spoil: replace(`"annotations":{`, `"annotations":{`+entries(many)+`,`)},
		"ten thousand attributes": {
			on: own, spoil: member(`"audit_attributes":` + attributes(many)), check: func(a *record.Audit) string {
				if len(a.Attributes) != record.MaxAttributes {
					return fmt.Sprintf("it has %d attributes", len(a.Attributes))
				}
				return marked("audit_attributes")(a)
			},
		},
		"nesting a thousand deep, in a body": {on: events, spoil: member(`"requestObject":` + nested(1000)), want: refused},
		"nesting ten thousand deep":          {on: events, spoil: member(`"requestObject":` + nested(many)), want: refused},
		"nesting a thousand deep, in the details": {
			on: own, spoil: member(`"details":{"deep":` + nested(1000) + `,"kept":1}`), check: marked("dropped_details"),
		},
		"nesting ten thousand deep, in the details": {on: own, spoil: member(`"details":` + nested(many)), want: refused},
		"more than an event may have": {
			on: events, spoil: member(`"requestObject":"` + strings.Repeat("x", 4*hugeBytes) + `"`), want: refused,
		},
		"more than a record may have": {
			on: own, spoil: member(`"description":"` + strings.Repeat("x", 4*hugeBytes) + `"`), want: refused,
		},
	}
}

// mended is stored with what can be kept of it.
func mended() map[string]poison {
	events, own := onEvents(), onOwn()
	isAlice := func(a *record.Audit) string {
		if a.UserID != "al�ice" {
			return fmt.Sprintf("its user is %q", a.UserID)
		}
		return ""
	}
	lateTime := func(a *record.Audit) string {
		if a.Time != a.IngestTime {
			return fmt.Sprintf("its time is %s", a.Time)
		}
		return marked("9999-12-31")(a)
	}
	return map[string]poison{
		"invalid UTF-8 in an event":            {on: events, spoil: replace(`"username":"alice"`, "\"username\":\"al\xffice\""), check: isAlice},
		"invalid UTF-8":                        {on: own, spoil: replace(`"user_id":"alice"`, "\"user_id\":\"al\xffice\""), check: isAlice},
		"half of a surrogate pair in an event": {on: events, spoil: replace(`"username":"alice"`, `"username":"al\ud800ice"`), check: isAlice},
		"half of a surrogate pair":             {on: own, spoil: replace(`"user_id":"alice"`, `"user_id":"al\ud800ice"`), check: isAlice},
		"an event of the year 9999": {
			on: events, spoil: replace(`"requestReceivedTimestamp":"`, `"requestReceivedTimestamp":"9999-12-31T23:59:59.999999Z","x":"`), check: lateTime,
		},
		"a time in the year 9999": {on: own, spoil: replace(`"time":"`, `"time":"9999-12-31T23:59:59.999999Z","user_agent":"`), check: lateTime},
	}
}
