package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// Document is what one JSON document is.
type Document string

// The documents that can be taken in.
const (
	DocumentEvent     Document = "Event"
	DocumentEventList Document = "EventList"
	DocumentAudit     Document = Document(KindAudit)
	DocumentAuthAudit Document = Document(KindAuthAudit)
)

// UnknownDocumentError says why a document is none of those.
type UnknownDocumentError struct{ Problem string }

func (e *UnknownDocumentError) Error() string { return "unknown document: " + e.Problem }

// Sniff tells what a JSON document is: by apiVersion and kind, or by kind alone
// for our own records, or, without either, by fields that only one kind of
// record has. Errors are *SyntaxError and *UnknownDocumentError.
func Sniff(data []byte) (Document, error) {
	h, err := readHeader(data)
	if err != nil {
		return "", err
	}
	switch {
	case h.apiVersion == auditv1.SchemeGroupVersion.String() && (h.kind == "Event" || h.kind == "EventList"):
		return Document(h.kind), nil
	case h.apiVersion != "":
		return "", unknownDocument("%s of %s is not taken in", orNothing(h.kind), clip(h.apiVersion))
	case h.kind == string(KindAudit) || h.kind == string(KindAuthAudit):
		return Document(h.kind), nil
	case h.kind == "Event" || h.kind == "EventList":
		return "", unknownDocument("kind is %s, but there is no apiVersion: %s", h.kind, auditv1.SchemeGroupVersion)
	case h.kind != "":
		return "", unknownDocument("kind is %q; it can be Audit, AuthAudit, or Event or EventList of %s",
			clip(h.kind), auditv1.SchemeGroupVersion)
	default:
		return byFields(h.names)
	}
}

// byFields decides by what only one of the kinds has.
func byFields(names []string) (Document, error) {
	audit, auth := onlyIn(names, KindAudit, KindAuthAudit), onlyIn(names, KindAuthAudit, KindAudit)
	switch {
	case audit != "" && auth != "":
		return "", unknownDocument(`it has both %s, of an Audit, and %s, of an AuthAudit; add "kind"`, audit, auth)
	case audit != "":
		return DocumentAudit, nil
	case auth != "":
		return DocumentAuthAudit, nil
	default:
		return "", unknownDocument(`it has no field that tells an Audit from an AuthAudit; add "kind"`)
	}
}

// onlyIn returns the first of names that records of kind have and those of
// other have not.
func onlyIn(names []string, kind, other Kind) string {
	for _, f := range Fields(kind) {
		if !f.In(other) && slices.Contains(names, f.Name) {
			return f.Name
		}
	}
	return ""
}

func unknownDocument(format string, args ...any) error {
	return &UnknownDocumentError{Problem: fmt.Sprintf(format, args...)}
}

func orNothing(kind string) string {
	if kind == "" {
		return "a document without kind"
	}
	return clip(kind)
}

type documentHeader struct {
	kind, apiVersion string
	names            []string
}

// readHeader reads the names of an object's members, and checks that it is one
// whole JSON object.
func readHeader(data []byte) (documentHeader, error) {
	var h documentHeader
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if kind := dec.PeekKind(); kind != '{' && kind != 0 {
		return h, unknownDocument("it is no JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return h, syntaxError(dec, err)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return h, syntaxError(dec, err)
		}
		h.names = append(h.names, name.String())
		member := h.names[len(h.names)-1]
		value, err := dec.ReadValue()
		if err != nil {
			return h, syntaxError(dec, err)
		}
		if member != "kind" && member != "apiVersion" {
			continue
		}
		text, err := jsontext.AppendUnquote(nil, value)
		if value.Kind() != '"' || err != nil {
			return h, unknownDocument("%s is no string", member)
		}
		if member == "kind" {
			h.kind = string(text)
		} else {
			h.apiVersion = string(text)
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return h, syntaxError(dec, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return h, &SyntaxError{Offset: dec.InputOffset(), Err: errors.New("text after the object")}
	}
	return h, nil
}

func syntaxError(dec *jsontext.Decoder, err error) *SyntaxError {
	offset := dec.InputOffset()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		offset = syntactic.ByteOffset
	}
	return &SyntaxError{Offset: offset, Err: err}
}
