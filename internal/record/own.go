package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// FieldError says what is wrong with one member of a record that was sent.
type FieldError struct {
	// Field is the member's name, with its position inside a list:
	// audit_attributes[2].attribute_id.
	Field string
	// Problem completes the sentence that begins with Field.
	Problem string
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// DecodeOwn reads an Audit or AuthAudit in our own JSON, for imports. It is
// strict: an unknown or repeated member, a value of the wrong type and a missing
// time are errors that name the member (*FieldError); null means absent. Other
// errors are those of Sniff.
//
// A sender vouches for what happened, not for what we make of it: id,
// ingest_time and source_type must be well-formed where given, but are dropped.
// source_type becomes Import, which its caller may change, and the caller makes
// the id (ContentID, BulkID). So a file that was exported from here can be
// imported as often as one likes and gives the same records each time, which are
// told from the originals by their source_type. The record is not normalised.
func DecodeOwn(data []byte) (Record, error) {
	if r, ok := scanOwn(data); ok {
		return r, nil
	}
	return decodeAnyOwn(data)
}

// decodeAnyOwn decodes a record that need not look like others, and says what is
// wrong with what is none.
func decodeAnyOwn(data []byte) (Record, error) {
	document, err := Sniff(data)
	if err != nil {
		return nil, err
	}
	r := New(Kind(document))
	if r == nil {
		return nil, unknownDocument("%s is no record of ours", document)
	}
	fields := ownFields[r.Kind()]
	timed := false
	err = eachMember(data, "", func(name string, value jsontext.Value) error {
		f, ok := fields[name]
		switch {
		case name == "kind":
			return nil
		case !ok:
			return &FieldError{Field: clip(name), Problem: fmt.Sprintf("is not a field of %s", r.Kind())}
		case value.Kind() == 'n':
			return nil
		}
		timed = timed || name == "time"
		return setField(f.Pointer(r), name, value)
	})
	if err != nil {
		return nil, err
	}
	if !timed {
		return nil, &FieldError{Field: "time", Problem: "is missing"}
	}
	return fromSender(r), nil
}

// fromSender takes away what a sender has no say in.
func fromSender(r Record) Record {
	base := r.Base()
	base.ID, base.IngestTime, base.SourceType = ID{}, 0, SourceImport
	return r
}

func setField(at any, name string, value jsontext.Value) error {
	switch at := at.(type) {
	case *string:
		return setText(at, name, value)
	case *int64:
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			return &FieldError{Field: name, Problem: "must be a whole number"}
		}
		*at = n
	case *Timestamp:
		return setParsed(at.UnmarshalText, name, value)
	case *ID:
		return setParsed(at.UnmarshalText, name, value)
	case *[]Attribute:
		return setAttributes(at, name, value)
	case *json.RawMessage:
		if value.Kind() != '{' {
			return &FieldError{Field: name, Problem: "must be an object"}
		}
		compact := value.Clone()
		if err := compact.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
			return &FieldError{Field: name, Problem: "is no valid JSON"}
		}
		*at = json.RawMessage(compact)
	default:
		return &FieldError{Field: name, Problem: "cannot be set"}
	}
	return nil
}

func setText(at *string, name string, value jsontext.Value) error {
	if value.Kind() != '"' {
		return &FieldError{Field: name, Problem: "must be a string"}
	}
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil && len(text) == 0 { // invalid UTF-8 was replaced
		return &FieldError{Field: name, Problem: "is no valid string"}
	}
	*at = string(text)
	return nil
}

func setParsed(parse func([]byte) error, name string, value jsontext.Value) error {
	var text string
	if err := setText(&text, name, value); err != nil {
		return err
	}
	if err := parse([]byte(text)); err != nil {
		return &FieldError{Field: name, Problem: "is wrong: " + err.Error()}
	}
	return nil
}

func setAttributes(at *[]Attribute, name string, value jsontext.Value) error {
	if value.Kind() != '[' {
		return &FieldError{Field: name, Problem: "must be a list"}
	}
	dec := jsontext.NewDecoder(bytes.NewReader(value), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(dec, err)
	}
	for i := 0; dec.PeekKind() != ']'; i++ {
		item, err := dec.ReadValue()
		if err != nil {
			return syntaxError(dec, err)
		}
		position := fmt.Sprintf("%s[%d]", name, i)
		if item.Kind() != '{' {
			return &FieldError{Field: position, Problem: "must be an object"}
		}
		var a Attribute
		places := map[string]*string{
			"attribute_type": &a.Type, "attribute_id": &a.ID, "attribute_org_id": &a.OrgID, "attribute_name": &a.Name,
		}
		err = eachMember(item, position+".", func(name string, value jsontext.Value) error {
			place, ok := places[name]
			switch {
			case !ok:
				return &FieldError{Field: position + "." + clip(name), Problem: "is not a field of an attribute"}
			case value.Kind() == 'n':
				return nil
			default:
				return setText(place, position+"."+name, value)
			}
		})
		if err != nil {
			return err
		}
		*at = append(*at, a)
	}
	return nil
}

// eachMember calls each for the members of an object, and refuses a name that
// occurs twice: of two values, neither is surely the one that was meant.
func eachMember(object []byte, prefix string, each func(name string, value jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(dec, err)
	}
	seen := map[string]bool{}
	for dec.PeekKind() != '}' {
		token, err := dec.ReadToken()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return syntaxError(dec, err)
		}
		name := token.String()
		if seen[name] {
			return &FieldError{Field: prefix + clip(name), Problem: "occurs twice"}
		}
		seen[name] = true
		value, err := dec.ReadValue()
		if err != nil {
			return syntaxError(dec, err)
		}
		if err := each(name, value); err != nil {
			return err
		}
	}
	return nil
}
