package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/runtime"

	"auditquery.dev/auditquery/api/records/v1alpha1"
)

// splicedBody is the JSON of a list, and which encoder would have written it.
type splicedBody struct {
	json []byte
	// encoder is the encoder that json stands for. Any other, such as one for
	// YAML, gets the list decoded.
	encoder runtime.Identifier
}

func (s splicedBody) encode(by runtime.Identifier, encode func(runtime.Object, io.Writer) error, decoded func() (runtime.Object, error), w io.Writer) error {
	if by == s.encoder {
		_, err := w.Write(s.json)
		return err
	}
	list, err := decoded()
	if err != nil {
		return err
	}
	return encode(list, w)
}

// splicedAudits is a list of audits that is encoded by copying. Its Items are
// empty: whoever needs them asks with WithObjects.
type splicedAudits struct {
	v1alpha1.AuditList
	body splicedBody
}

var _ runtime.CacheableObject = (*splicedAudits)(nil)

func newSplicedAudits(h head, s splicedBody) *splicedAudits {
	return &splicedAudits{AuditList: v1alpha1.AuditList{ListMeta: h.ListMeta, Truncation: h.truncation}, body: s}
}

// CacheEncode writes the list.
func (l *splicedAudits) CacheEncode(by runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	return l.body.encode(by, encode, func() (runtime.Object, error) { return decodeList(l.body, &v1alpha1.AuditList{}) }, w)
}

// GetObject returns the list decoded.
func (l *splicedAudits) GetObject() runtime.Object {
	list, err := decodeList(l.body, &v1alpha1.AuditList{})
	if err != nil {
		return &l.AuditList // the interface leaves no room for an error
	}
	return list
}

// DeepCopyObject returns a copy of the list.
func (l *splicedAudits) DeepCopyObject() runtime.Object {
	return &splicedAudits{AuditList: *l.DeepCopy(), body: l.body}
}

// splicedAuthAudits is splicedAudits for authaudits.
type splicedAuthAudits struct {
	v1alpha1.AuthAuditList
	body splicedBody
}

var _ runtime.CacheableObject = (*splicedAuthAudits)(nil)

func newSplicedAuthAudits(h head, s splicedBody) *splicedAuthAudits {
	return &splicedAuthAudits{AuthAuditList: v1alpha1.AuthAuditList{ListMeta: h.ListMeta, Truncation: h.truncation}, body: s}
}

// CacheEncode writes the list.
func (l *splicedAuthAudits) CacheEncode(by runtime.Identifier, encode func(runtime.Object, io.Writer) error, w io.Writer) error {
	return l.body.encode(by, encode, func() (runtime.Object, error) { return decodeList(l.body, &v1alpha1.AuthAuditList{}) }, w)
}

// GetObject returns the list decoded.
func (l *splicedAuthAudits) GetObject() runtime.Object {
	list, err := decodeList(l.body, &v1alpha1.AuthAuditList{})
	if err != nil {
		return &l.AuthAuditList // the interface leaves no room for an error
	}
	return list
}

// DeepCopyObject returns a copy of the list.
func (l *splicedAuthAudits) DeepCopyObject() runtime.Object {
	return &splicedAuthAudits{AuthAuditList: *l.DeepCopy(), body: l.body}
}

func decodeList[T runtime.Object](body splicedBody, list T) (T, error) {
	if err := json.Unmarshal(body.json, list); err != nil {
		return list, fmt.Errorf("decode a list that was spliced: %w", err)
	}
	return list, nil
}

type objectsKey struct{}

// WithObjects marks a request whose answer is derived from the objects of a list,
// such as a Table: then List returns them decoded.
func WithObjects(ctx context.Context) context.Context {
	return context.WithValue(ctx, objectsKey{}, true)
}

func wantsObjects(ctx context.Context) bool {
	wants, ok := ctx.Value(objectsKey{}).(bool)
	return ok && wants
}
