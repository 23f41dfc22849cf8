package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"auditquery.dev/auditquery/api/records/v1alpha1"
	"auditquery.dev/auditquery/internal/record"
)

// splicer writes the JSON of a list from the stored documents: names are put into
// camelCase, metadata is put in front, and values are copied as they are. To
// decode a page into objects and encode these again takes several times as long
// as the store takes to find it.
//
// Every document is read to its end and must be valid: what is copied is never
// half a value.
type splicer struct {
	listKind string
	// names are the names of stored fields, attributes those of the members of
	// an attribute.
	names, attributes map[string]name
	// outcome is the stored name of the field that becomes LabelOutcome.
	outcome string
}

// name is a field's stored name, and the one it is served by, quoted and with a
// colon.
type name struct{ stored, served string }

func newSplicer(s shape) (*splicer, error) {
	sp := &splicer{
		listKind: s.listKind, outcome: outcomeField(s.kind),
		names: map[string]name{}, attributes: map[string]name{},
	}
	for _, f := range record.Fields(s.kind) {
		sp.names[f.Name] = name{stored: f.Name, served: `"` + f.CamelName + `":`}
	}
	for stored, served := range map[string]string{
		"attribute_type": "attributeType", "attribute_id": "attributeID",
		"attribute_org_id": "attributeOrgID", "attribute_name": "attributeName",
	} {
		sp.attributes[stored] = name{stored: stored, served: `"` + served + `":`}
	}
	if _, ok := sp.names[sp.outcome]; !ok {
		return nil, fmt.Errorf("%s records have no field %q", s.kind, sp.outcome)
	}
	return sp, nil
}

// outcomeField is the stored name of the field that says how it ended.
func outcomeField(kind record.Kind) string {
	if kind == record.KindAuthAudit {
		return "result"
	}
	return "outcome"
}

// metadataBytes is about what the metadata of an item takes.
const metadataBytes = 320

// list writes a list. namespaceOf is given source_type, cluster, org_id and time.
func (sp *splicer) list(h head, documents [][]byte, namespaceOf func(*record.Common) (string, error)) ([]byte, error) {
	size := metadataBytes
	for _, d := range documents {
		size += len(d) + metadataBytes
	}
	out, err := sp.appendHead(make([]byte, 0, size), h)
	if err != nil {
		return nil, err
	}
	page := pageSplicer{splicer: sp, namespaceOf: namespaceOf, labels: map[string]bool{}}
	for i, document := range documents {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = page.appendItem(out, document); err != nil {
			return nil, fmt.Errorf("splice a record: %w", err)
		}
	}
	return append(out, "]}\n"...), nil
}

func (sp *splicer) appendHead(out []byte, h head) ([]byte, error) {
	metadata, err := json.Marshal(h.ListMeta)
	if err != nil {
		return nil, err
	}
	out = append(out, `{"kind":"`...)
	out = append(out, sp.listKind...)
	out = append(out, `","apiVersion":"`...)
	out = append(out, v1alpha1.GroupVersion.String()...)
	out = append(out, `","metadata":`...)
	out = append(out, metadata...)
	if h.truncation != nil {
		truncation, err := json.Marshal(h.truncation)
		if err != nil {
			return nil, err
		}
		out = append(out, `,"truncation":`...)
		out = append(out, truncation...)
	}
	return append(out, `,"items":[`...), nil
}

// pageSplicer splices the items of one list.
type pageSplicer struct {
	*splicer
	namespaceOf func(*record.Common) (string, error)
	decoder     jsontext.Decoder
	// attribute decodes within a value that decoder has read.
	attribute jsontext.Decoder
	members   []member
	// labels remembers which values become labels: there are few of them.
	labels map[string]bool
}

// member is one member of a document that is served.
type member struct {
	name  name
	value []byte
}

// identity is what an item's metadata is made of.
type identity struct {
	base    record.Common
	outcome string
	hasID   bool
	hasTime bool
}

func (p *pageSplicer) appendItem(out, document []byte) ([]byte, error) {
	who, err := p.scan(document)
	if err != nil {
		return nil, err
	}
	if out, err = p.appendMetadata(out, who); err != nil {
		return nil, err
	}
	for _, m := range p.members {
		out = append(out, ',')
		out = append(out, m.name.served...)
		if m.name.stored != attributesField {
			out = append(out, m.value...)
			continue
		}
		if out, err = p.appendAttributes(out, m.value); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

const attributesField = "audit_attributes"

var (
	errNotObject = errors.New("a stored record, or an attribute of it, is not a JSON object")
	errNotList   = errors.New("the attributes of a stored record are not a list")
	errNameless  = errors.New("a stored record lacks its id or its time")
	errTrailing  = errors.New("something follows a stored record")
)

// scan reads a whole document. It leaves what is served in p.members.
func (p *pageSplicer) scan(document []byte) (identity, error) {
	var who identity
	p.members = p.members[:0]
	begin(&p.decoder, document)
	err := p.eachMember(&p.decoder, document, p.names, func(n name, value []byte) error {
		p.members = append(p.members, member{name: n, value: value})
		return p.note(&who, n.stored, value)
	})
	if err != nil {
		return who, err
	}
	if _, err := p.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return who, errTrailing
	}
	if !who.hasID || !who.hasTime {
		return who, errNameless
	}
	return who, nil
}

func begin(decoder *jsontext.Decoder, document []byte) {
	decoder.Reset(bytes.NewBuffer(document), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// eachMember reads an object to its end and gives its members whose names are
// known. Values are parts of document.
func (p *pageSplicer) eachMember(decoder *jsontext.Decoder, document []byte, names map[string]name, each func(name, []byte) error) error {
	token, err := decoder.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '{' {
		return errNotObject
	}
	for decoder.PeekKind() != '}' {
		quoted, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		n, known := names[string(unquoted(quoted))]
		value, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		// What the decoder returns lives until its next read; the document stays.
		end := int(decoder.InputOffset())
		if err := each(n, document[end-len(value):end]); err != nil {
			return err
		}
	}
	_, err = decoder.ReadToken()
	return err
}

// note keeps what metadata is made of.
func (p *pageSplicer) note(who *identity, stored string, value []byte) error {
	switch stored {
	case "id":
		who.hasID = true
		return who.base.ID.UnmarshalText(unquoted(value))
	case "time":
		who.hasTime = true
		return who.base.Time.UnmarshalText(unquoted(value))
	case "source_type":
		who.base.SourceType = text(value)
	case "cluster":
		who.base.Cluster = text(value)
	case "org_id":
		who.base.OrgID = text(value)
	case "actor_type":
		who.base.ActorType = text(value)
	case p.outcome:
		who.outcome = text(value)
	}
	return nil
}

// appendMetadata begins an item with its metadata.
func (p *pageSplicer) appendMetadata(out []byte, who identity) ([]byte, error) {
	namespace, err := p.namespaceOf(&who.base)
	if err != nil {
		return nil, err
	}
	out = append(out, `{"metadata":{"name":"`...)
	out = append(out, who.base.ID.String()...)
	out = append(out, `","namespace":`...)
	if out, err = jsontext.AppendQuote(out, namespace); err != nil {
		return nil, err
	}
	out = append(out, `,"uid":"`...)
	out = append(out, uid(who.base.ID)...)
	out = append(out, `","creationTimestamp":"`...)
	out = who.base.Time.Time().AppendFormat(out, "2006-01-02T15:04:05Z")
	out = append(out, '"')
	open := `,"labels":{"`
	for _, label := range [...]struct{ key, value string }{
		{v1alpha1.LabelActorType, who.base.ActorType}, {v1alpha1.LabelOutcome, who.outcome},
	} {
		if !p.isLabel(label.value) {
			continue
		}
		out = append(out, open...)
		out = append(out, label.key...)
		out = append(out, `":"`...)
		out = append(out, label.value...)
		out = append(out, '"')
		open = `,"`
	}
	if open == `,"` {
		out = append(out, '}')
	}
	return append(out, '}'), nil
}

func (p *pageSplicer) isLabel(value string) bool {
	is, known := p.labels[value]
	if !known {
		is = isLabel(value)
		p.labels[value] = is
	}
	return is
}

// appendAttributes writes a list of attributes.
func (p *pageSplicer) appendAttributes(out, list []byte) ([]byte, error) {
	begin(&p.attribute, list)
	token, err := p.attribute.ReadToken()
	if err != nil {
		return nil, err
	}
	if token.Kind() != '[' {
		return nil, errNotList
	}
	out = append(out, '[')
	for first := true; p.attribute.PeekKind() != ']'; first = false {
		if !first {
			out = append(out, ',')
		}
		open := byte('{')
		err := p.eachMember(&p.attribute, list, p.attributes, func(n name, value []byte) error {
			out = append(append(append(out, open), n.served...), value...)
			open = ','
			return nil
		})
		if err != nil {
			return nil, err
		}
		if open == '{' {
			out = append(out, '{')
		}
		out = append(out, '}')
	}
	return append(out, ']'), nil
}

// unquoted is a JSON string without its quotes, where it has no escapes. A value
// that is none stays as it is; no name of ours looks like one.
func unquoted(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return value
	}
	return value[1 : len(value)-1]
}

// text is a JSON string's content; "" for any other value.
func text(value []byte) string {
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	content, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return ""
	}
	return string(content)
}
